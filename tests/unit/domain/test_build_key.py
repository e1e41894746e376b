"""Which builds would give the same image."""

from __future__ import annotations

from typing import Any

import pytest

from stackyn_server.domain.build_key import build_key

OURS = "stackyn/python:3.11"
PINNED = "python@sha256:" + "a" * 64
PLAN: dict[str, Any] = {"repeatable": True, "dockerfile": "Dockerfile", "generated": None, "reasons": ["r"]}


def key(**changes: Any) -> str | None:
    values: dict[str, Any] = {
        "tree": "c" * 40,
        "root": "",
        "target": None,
        "plan": PLAN,
        "base_images": (OURS, PINNED),
        "digests": {OURS: "sha256:1"},
        "builder": "sha256:b",
        "secret": "",
    }
    return build_key(**(values | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"tree": "d" * 40},
        {"root": "api"},
        {"target": "web"},
        {"plan": {**PLAN, "generated": "FROM x"}},
        {"digests": {OURS: "sha256:2"}},
        {"builder": "sha256:c"},
        {"secret": "s"},
        {"base_images": (OURS,)},
    ],
)
def test_each_part_of_a_build_makes_another_key(changes: dict[str, Any]) -> None:
    assert key(**changes) not in (None, key())


def test_what_an_image_does_not_depend_on_makes_no_other_key() -> None:
    assert key(plan={**PLAN, "reasons": [], "port": 80}) == key() is not None


@pytest.mark.parametrize(
    "name", ["python:3.11", "stackyn/python:3.12", "x@sha256:short", "x@md5:" + "a" * 64]
)
def test_a_floating_base_image_has_no_key(name: str) -> None:
    assert key(base_images=(name,)) is None


def test_a_dockerfile_that_takes_other_things_has_no_key() -> None:
    assert key(plan={**PLAN, "repeatable": False}) is None
