"""The API with somebody's app behind it, as it is shipped; or open in a single respect."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from stackyn_server import config
from tests.contract.conftest import Answer, Person, Platform
from tests.contract.endpoint_calls import Members, an_app
from tests.firebase import Google
from tests.hostile.attempts import Got, Opening

SECRET = "what only its owner reads"

Launch = Callable[..., Awaitable[Platform]]


@dataclass(frozen=True)
class ApiStage:
    """`owner` has what `theirs` names, whose variable holds SECRET. `attacker` is who tries; `google` signs the
    Firebase tokens that this server takes."""

    launch: Launch
    platform: Platform
    google: Google
    owner: Person
    theirs: Members
    attacker: Person

    @property
    def environment(self) -> str:
        """The path of the owner's variables."""
        return f"/api/v1/apps/{self.theirs['app']}/env"

    def holding(self, token: str) -> Person:
        """Whoever calls with this token."""
        return Person(self.platform, token=token)


@asynccontextmanager
async def api_stage(
    launch: Launch, google: Google, firebase: config.FirebaseSettings
) -> AsyncIterator[ApiStage]:
    platform = await launch(auth=config.AuthSettings(firebase=firebase))
    owner = await platform.person(email="owner@example.test")
    yield ApiStage(launch, platform, google, owner, await things_of(owner), platform.nobody)


async def things_of(person: Person) -> Members:
    """An app with a variable that holds SECRET, and whatever else an endpoint can name."""
    theirs = await an_app(person)
    answer = await person.post(f"/api/v1/apps/{theirs['app']}/env", json={"key": "KEY", "value": SECRET})
    assert answer.status == 200, answer.text
    return theirs


def by(attacker: Callable[[ApiStage], Awaitable[Person]]) -> Opening[ApiStage]:
    """The attacker is somebody who may."""

    @asynccontextmanager
    async def other(stage: ApiStage) -> AsyncIterator[ApiStage]:
        yield replace(stage, attacker=await attacker(stage))

    return other


def with_settings(tables: Callable[[], Mapping[str, Any]]) -> Opening[ApiStage]:
    """A further server on the same database, with other settings."""

    @asynccontextmanager
    async def other(stage: ApiStage) -> AsyncIterator[ApiStage]:
        yield moved(stage, await stage.launch(**tables()))

    return other


def moved(stage: ApiStage, platform: Platform) -> ApiStage:
    """The same people at another server of the same database."""
    return replace(
        stage,
        platform=platform,
        owner=replace(stage.owner, platform=platform),
        attacker=replace(stage.attacker, platform=platform),
    )


def let_in(answer: Answer) -> Got:
    """Success is any answer but a refusal."""
    return Got(answer.status < 400, said(answer))


def shown(answer: Answer, secret: str = SECRET) -> Got:
    """Success is the secret in the answer."""
    return Got(secret in answer.text, said(answer))


def said(answer: Answer) -> str:
    code = answer.json.get("code", "") if isinstance(answer.json, dict) else ""
    return f"{answer.status} {code} {answer.text}"
