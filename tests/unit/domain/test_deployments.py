"""Phases: every one has a word for the clients, and each way through them ends."""

from __future__ import annotations

import pytest

from stackyn_server.domain.apps import Desired
from stackyn_server.domain.deployments import OPEN_PHASES, TRANSITIONS, Phase, Status, may_follow, status_of
from stackyn_server.domain.status import app_phase, app_status


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_has_a_status_that_clients_know(phase: Phase) -> None:
    assert status_of(phase).value in {"pending", "building", "running", "failed", "stopped"}


@pytest.mark.parametrize("phase", sorted(OPEN_PHASES))
def test_every_open_phase_can_fail_and_be_cancelled(phase: Phase) -> None:
    assert may_follow(phase, Phase.FAILED)
    assert may_follow(phase, Phase.CANCELLED)


def test_what_has_ended_stays_ended() -> None:
    for phase in (Phase.FAILED, Phase.CANCELLED, Phase.SUPERSEDED, Phase.REPLACED, Phase.STOPPED):
        assert TRANSITIONS[phase] == frozenset()
        assert phase not in OPEN_PHASES


def test_a_live_deployment_is_replaced_or_fails_at_once() -> None:
    assert TRANSITIONS[Phase.LIVE] == {Phase.REPLACED, Phase.STOPPED, Phase.FAILED}
    assert Phase.LIVE not in OPEN_PHASES


@pytest.mark.parametrize(
    ("desired", "active", "status"),
    [
        (Desired.RUNNING, Phase.QUEUED, Status.PENDING),
        (Desired.RUNNING, Phase.SWITCHING, Status.BUILDING),
        (Desired.RUNNING, Phase.LIVE, Status.RUNNING),
        (Desired.RUNNING, Phase.FAILED, Status.FAILED),
        (Desired.RUNNING, Phase.CANCELLED, Status.STOPPED),
        (Desired.RUNNING, None, Status.STOPPED),
        (Desired.STOPPED, Phase.LIVE, Status.STOPPED),
        (Desired.STOPPED, Phase.BUILDING, Status.STOPPED),
    ],
)
def test_app_status_follows_from_desired_state_and_phase(
    desired: Desired, active: Phase | None, status: Status
) -> None:
    assert app_status(desired, active) is status


def test_a_sleeping_app_is_running_with_a_phase_of_its_own() -> None:
    assert app_status(Desired.RUNNING, Phase.LIVE) is Status.RUNNING
    assert app_phase(Desired.RUNNING, Phase.LIVE, is_held=True) == "sleeping"
    assert app_phase(Desired.RUNNING, Phase.LIVE, is_held=False) == "live"


def test_an_app_has_failed_while_its_container_is_down() -> None:
    assert app_status(Desired.RUNNING, Phase.LIVE, is_down=True) is Status.FAILED
    assert app_phase(Desired.RUNNING, Phase.LIVE, is_held=False, is_down=True) == "down"
    assert app_status(Desired.RUNNING, Phase.BUILDING, is_down=True) is Status.BUILDING, "help is on its way"
    assert app_status(Desired.STOPPED, Phase.LIVE, is_down=True) is Status.STOPPED


def test_an_unhealthy_app_keeps_its_status() -> None:
    assert app_phase(Desired.RUNNING, Phase.LIVE, is_held=False, is_unhealthy=True) == "unhealthy"
    assert app_phase(Desired.RUNNING, Phase.SWITCHING, is_held=False, is_unhealthy=True) == "switching"
