"""What people are told when a repository's host can't be used, and whether it is tried again."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from stackyn_server.config import SourceSettings
from stackyn_server.domain.failures import DeploymentFailed, FailureCode, TransientFailure
from stackyn_server.source.repository_host import reach_host
from stackyn_server.source.repository_url import parse_url

LOCAL = SourceSettings(schemes=("https", "http"), allowed_private=("127.0.0.0/8",), stall_seconds=2)


async def test_a_host_inside_is_refused_for_good() -> None:
    inside = SourceSettings(schemes=("http",))

    with pytest.raises(DeploymentFailed) as refused:
        await reach_host(inside, parse_url(inside, "http://localhost:8000/a.git"))

    assert refused.value.failure.code is FailureCode.SOURCE_REFUSED
    assert not refused.value.retryable


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), TransientFailure),
        (UnicodeError("label too long"), DeploymentFailed),
    ],
)
async def test_a_name_without_address_is_unreachable(
    error: Exception, kind: type[DeploymentFailed], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(self: object, *args: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", resolve)

    with pytest.raises(DeploymentFailed) as failed:
        await reach_host(LOCAL, parse_url(LOCAL, "https://no-such-host.test/a"))

    assert type(failed.value) is kind
    assert failed.value.failure.code is FailureCode.SOURCE_UNREACHABLE
    assert "no-such-host.test" in failed.value.message


async def test_a_host_that_accepts_nowhere_is_tried_again_later() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(TransientFailure) as failed:
        await reach_host(LOCAL, parse_url(LOCAL, f"http://127.0.0.1:{port}/a.git"))

    assert failed.value.failure.code is FailureCode.SOURCE_UNREACHABLE
    assert failed.value.failure.evidence
