"""The state that a rollout's decisions use, read once for each step."""

from __future__ import annotations

from stackyn_server.config import Settings
from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode
from stackyn_server.jobs.run import JobCancelled
from stackyn_server.pipeline.hosts import hosts_with
from stackyn_server.pipeline.rollout.candidate import Candidate, of_deployment
from stackyn_server.pipeline.run import DeploymentRun
from stackyn_server.store import situations
from stackyn_server.store.routes import RouteState
from stackyn_server.store.situations import Situation


async def read_situation(run: DeploymentRun) -> Situation:
    async with run.database.connection() as connection:
        situation = await situations.read(connection, run.deployment.id)
    if situation is None:
        raise JobCancelled
    return situation


async def read_candidate(run: DeploymentRun) -> Candidate:
    """Return the candidate that an earlier step has recorded."""
    async with run.database.connection() as connection:
        candidate = await of_deployment(connection, run.deployment.id)
    if candidate is None:
        raise DeploymentFailed(
            Failure(FailureCode.INTERNAL, "The deployment's container was lost.", "Deploy again.")
        )
    return candidate


def hosts_in(situation: Situation, settings: Settings) -> list[str]:
    return hosts_with(settings, situation.app, situation.custom_hosts)


def is_in_place(situation: Situation, candidate: Candidate) -> bool:
    """Return whether the rollout is in place: the route is held for its candidate. No other row records that."""
    return situation.leads_to(candidate.instance.id, RouteState.HELD)


def nothing_served(situation: Situation, candidate: Candidate) -> bool:
    """Return whether nothing served when this rollout began: its failure harms no visitor."""
    is_switching = situation.leads_to(candidate.instance.id, RouteState.SWITCHING)
    return situation.route is RouteState.WITHDRAWN or (is_switching and situation.previous is None)


def has_other_port(situation: Situation, candidate: Candidate) -> bool:
    """Return whether the candidate listens on another port than the app's current release."""
    return situation.current_port is not None and situation.current_port != candidate.release.port


def memory_mb(situation: Situation) -> int:
    """Return the memory limit of the deployment's release, whether its row exists yet or not."""
    return situation.release_memory_mb or situation.app.settings.memory_mb
