"""The endpoint by which a developer sets a billing status."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackyn_server import config, config_file
from stackyn_server.config import ConfigInvalid
from tests.contract.billing.customers import billing_of, desired
from tests.contract.conftest import Platform
from tests.contract.test_conventions import is_error


async def test_a_developer_walks_through_every_status(launch: Callable[..., Any]) -> None:
    platform = await launch(billing=config.BillingSettings(test_endpoint=True))
    person = await platform.person(plan="free")
    app = await person.new_app()
    for body, expected, desired_state in [
        ({"billing_status": "trial", "plan": "free_trial"}, ("trial", "trial", "pro"), ("running", False)),
        ({"trial_ends_at": "2020-01-01T00:00:00Z"}, ("expired", "expired", "pro"), ("stopped", True)),
        ({"billing_status": "active", "plan": "starter"}, ("active", "active", "starter"), ("running", False)),
        ({"billing_status": "expired"}, ("expired", "expired", "starter"), ("stopped", True)),
        ({"plan": "pro"}, ("expired", "expired", "pro"), ("stopped", True)),
        ({"billing_status": "trial", "trial_ends_at": "2099-01-01T00:00:00+02:00"}, ("trial", "trial", "pro"),
         ("running", False)),
        ({"billing_status": "active"}, ("active", "active", "pro"), ("running", False)),
    ]:  # fmt: skip
        answer = await person.post("/api/v1/test/billing", json=body)
        assert answer.status == 200, answer.text
        assert set(answer.json) == {
            "message",
            "user_id",
            "billing_status",
            "plan",
            "trial_ends_at",
            "warning",
        }
        assert (answer.json["billing_status"], answer.json["plan"]) == (expected[0], expected[2])
        assert await billing_of(person) == expected, body
        assert await desired(platform, app) == desired_state, body


@pytest.mark.parametrize(
    "body",
    [{"billing_status": "cancelled"}, {"plan": "gold"}, {"trial_ends_at": "tomorrow"}, {"trial_ends_at": 7},
     {"trial_ends_at": "0001-01-01T00:00:00+14:00"}, {"trial_ends_at": "2030-01-01T00:00:00"}, {"plan": "a\0"}],
)  # fmt: skip
async def test_a_developer_is_told_what_is_wrong(launch: Callable[..., Any], body: dict[str, Any]) -> None:
    platform = await launch(billing=config.BillingSettings(test_endpoint=True))
    answer = await (await platform.person()).post("/api/v1/test/billing", json=body)
    assert is_error(answer, 400, "INVALID_REQUEST")


async def test_the_development_endpoint_is_off_by_default(platform: Platform) -> None:
    person = await platform.person(plan="free")
    answer = await person.post("/api/v1/test/billing", json={"billing_status": "active", "plan": "pro"})
    assert is_error(answer, 404, "NOT_FOUND")
    assert await billing_of(person) == ("active", None, "free")


def test_the_development_endpoint_is_refused_on_a_public_server(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[public]\nbase_domain = "example.com"\n[billing]\ntest_endpoint = true\n')
    with pytest.raises(ConfigInvalid, match="test_endpoint is refused"):
        config_file.load(file, {})
