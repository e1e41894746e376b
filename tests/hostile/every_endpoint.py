"""One attempt for all endpoints of a kind, so that a new endpoint is attacked without a new row."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from stackyn_server.api.endpoint import Access, Endpoint
from stackyn_server.api.endpoints import ENDPOINTS
from tests.contract.conftest import Person
from tests.contract.endpoint_calls import call, names_something
from tests.hostile.api_stage import ApiStage, said, things_of
from tests.hostile.attempts import Attempt, Got, Open, as_it_is

FOR_ADMINISTRATORS = (Access.ADMIN, Access.OPERATOR)


async def nobody(stage: ApiStage) -> Person:
    return stage.platform.nobody


async def the_attacker(stage: ApiStage) -> Person:
    return stage.attacker


def endpoints_of(access: Access) -> list[Endpoint]:
    return [endpoint for endpoint in ENDPOINTS if endpoint.access is access]


def about_somebody(access: Access) -> list[Endpoint]:
    """Those of an access that name a thing."""
    return [endpoint for endpoint in endpoints_of(access) if names_something(endpoint)]


def every_endpoint(
    title: str,
    endpoints: Sequence[Endpoint],
    caller: Callable[[ApiStage], Awaitable[Person]],
    refusal: str,
) -> Attempt[ApiStage]:
    """Call each about what the owner has. Success is an answer that is not `refusal`, which begins with a status."""
    is_for_administrators = endpoints[0].access in FOR_ADMINISTRATORS
    status = int(refusal[:3])

    async def by_attacker(stage: ApiStage) -> Got:
        attacker = await caller(stage)
        answers = [(endpoint, await call(attacker, endpoint, stage.theirs)) for endpoint in endpoints]
        passed = [endpoint.name for endpoint, answer in answers if answer.status != status]
        return Got(bool(passed), f"{said(answers[0][1])} {passed or ''}")

    async def by_who_may(stage: ApiStage) -> Got:
        """Each about things of its own: some endpoints delete them."""
        refused = []
        for endpoint in endpoints:
            person = await stage.platform.person(is_admin=is_for_administrators)
            theirs = await things_of(person)
            # The log of a deployment that waits would be followed until it has ended.
            await person.post(f"/api/v1/deployments/{theirs['deployment']}/cancel")
            answer = await call(person, endpoint, theirs)
            # An app that has never run has no container whose log can be followed.
            if answer.status == status and "not running" not in answer.text:
                refused.append(endpoint.name)
        return Got(not refused, f"{refused}")

    words = "as an administrator" if is_for_administrators else "as the owner"
    return Attempt(f"{len(endpoints)} {title}", by_attacker, refusal, Open(words, as_it_is), by_who_may)
