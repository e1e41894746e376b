"""Which deployments have a release command to run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from stackyn_server.domain.deployments import Cause, Phase
from stackyn_server.domain.ids import AppId, DeploymentId, UserId
from stackyn_server.pipeline.rollout.release_command import ReleaseCommand, release_command
from stackyn_server.store.deployments import Deployment

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLANNED = {"deploying": {"release_command": "migrate"}}


def deployment(cause: Cause = Cause.REDEPLOY, plan: dict[str, Any] | None = PLANNED) -> Deployment:
    return Deployment(
        id=DeploymentId(7),
        app=AppId(1),
        tenant=UserId(UUID(int=1)),
        cause=cause,
        phase=Phase.BUILT,
        version=4,
        moved_by=None,
        branch="main",
        commit=None,
        plan=plan,
        image="sha256:1",
        source_release=None,
        release=None,
        failure=None,
        waiting_reason=None,
        phase_since=NOW,
        created_at=NOW,
        updated_at=NOW,
        live_at=None,
        ended_at=None,
        build_key=None,
        command_container=None,
        command_done_at=None,
        image_bytes=None,
    )


@pytest.mark.parametrize("cause", Cause)
def test_only_what_was_built_for_it_runs_its_command(cause: Cause) -> None:
    is_built = cause in (Cause.CREATE, Cause.REDEPLOY)
    assert release_command(deployment(cause)) == ("migrate" if is_built else None)


@pytest.mark.parametrize(
    "plan", [None, {}, {"deploying": None}, {"deploying": {}}, {"deploying": {"release_command": None}}]
)
def test_a_plan_without_one_has_nothing_to_run(plan: dict[str, Any] | None) -> None:
    assert release_command(deployment(plan=plan)) is None


def test_one_that_has_succeeded_is_not_due_again() -> None:
    begun = replace(deployment(), command_container="c1")
    assert ReleaseCommand.is_due(deployment()) and ReleaseCommand.is_due(begun)
    assert not ReleaseCommand.is_due(replace(begun, command_done_at=NOW))
