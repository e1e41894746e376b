"""Why a release command failed, from how its container ended and what it wrote."""

from __future__ import annotations

import pytest

from stackyn_server.engine.container_state import ContainerState
from stackyn_server.pipeline.rollout.release_failures import release_failure
from tests.unit.pipeline.rollout.test_not_ready import ended


@pytest.mark.parametrize(
    ("state", "from_outside", "output", "words"),
    [
        (ended(3), False, "migration 7 failed", ["code 3", "last lines"]),
        (ended(127), False, "sh: 1: alembic: not found", ["code 127", "alembic was not found"]),
        (ended(126), False, "sh: 1: ./migrate: Permission denied", ["code 126", "./migrate can't be executed"]),
        (ended(1), False, "sudo: The \"no new privileges\" flag is set", ["code 1", "sudo"]),
        (ended(137), False, "", ["memory"]),
        (ended(137), True, "half", ["from outside", "not started a second time"]),
        (ended(1, out_of_memory=True), False, "", ["more memory than the app is allowed"]),
    ],
)  # fmt: skip
def test_a_failed_command_is_explained(
    state: ContainerState, from_outside: bool, output: str, words: list[str]
) -> None:
    failure = release_failure(state, output, was_from_outside=from_outside)
    assert failure.code == "RELEASE_FAILED"
    text = f"{failure.message} {failure.hint}"
    assert [word for word in words if word not in text] == []
    assert failure.evidence == output
