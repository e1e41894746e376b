"""Making a stolen sign-in last, and doing more with an access token than it was made for."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from stackyn_server import config
from stackyn_server.api.endpoint import Access
from stackyn_server.api.endpoints import ENDPOINTS
from stackyn_server.domain.scopes import Scope
from tests.contract.conftest import GENEROUS, PASSWORD, Person
from tests.contract.endpoint_calls import an_app
from tests.hostile.api_stage import ApiStage, let_in, moved, said, with_settings
from tests.hostile.attempts import Attempt, Got, Open, Tries, as_it_is
from tests.hostile.every_endpoint import endpoints_of, every_endpoint

NEW = "another password"
KNOWING: Open[ApiStage] = Open("with the account's password", as_it_is)

_numbers = itertools.count(1)


async def _stolen(stage: ApiStage) -> Person:
    """Somebody's sign-in by password in other hands."""
    person = await stage.platform.person()
    signed_in = await stage.platform.services.accounts.sign_in(person.email, PASSWORD)
    return replace(person, token=signed_in.token)


def _sets_password(**proof: str) -> Tries[ApiStage]:
    async def change(stage: ApiStage) -> Got:
        thief = await _stolen(stage)
        answer = await thief.post("/api/auth/update-profile", json={"password": NEW, **proof})
        signing_in = {"email": thief.email, "password": NEW}
        after = await stage.platform.nobody.post("/api/auth/login", json=signing_in)
        return Got(after.status == 200, said(answer))

    return change


def _makes_token(**proof: str) -> Tries[ApiStage]:
    async def make(stage: ApiStage) -> Got:
        thief = await _stolen(stage)
        return let_in(await thief.post("/api/v1/tokens", json={"name": "lasting", **proof}))

    return make


async def _guesses_current_password(stage: ApiStage) -> Got:
    """Three wrong ones, then the right one."""
    thief = await _stolen(stage)
    for guess in ("guess one", "guess two", "guess three", PASSWORD):
        body = {"name": "lasting", "current_password": guess}
        answer = await thief.post("/api/v1/tokens", json=body)
    return let_in(answer)


@asynccontextmanager
async def slow_to_guess(stage: ApiStage) -> AsyncIterator[ApiStage]:
    rates = GENEROUS.model_copy(update={"free_failures": 2, "failure_pause_seconds": 60})
    yield moved(stage, await stage.launch(rates=rates))


QUICK_TO_GUESS: Open[ApiStage] = Open("without pauses", with_settings(lambda: {"rates": GENEROUS}))
STOLEN = [
    Attempt("new password by a stolen sign-in", _sets_password(), "400", KNOWING,
            _sets_password(current_password=PASSWORD)),
    Attempt("the same with a wrong current one", _sets_password(current_password="guessed guess"), "400", KNOWING,
            _sets_password(current_password=PASSWORD)),
    Attempt("access token by a stolen sign-in", _makes_token(), "400", KNOWING,
            _makes_token(current_password=PASSWORD)),
]  # fmt: skip
GUESSED = [
    Attempt(
        "guessing the current password of a stolen sign-in", _guesses_current_password, "429", QUICK_TO_GUESS
    )
]


# Access tokens


def _token(**request: Any) -> Callable[[ApiStage], Awaitable[Person]]:
    """The owner's token, made as `request` says; `app_id` ... is another app of the owner's."""

    async def make(stage: ApiStage) -> Person:
        wanted = dict(request)
        if "app_id" in wanted:
            wanted["app_id"] = (await an_app(stage.owner))["app"]
        return await _holder(stage, stage.owner, wanted)

    return make


async def _holder(stage: ApiStage, owner: Person, wanted: dict[str, Any]) -> Person:
    body = {"name": f"token {next(_numbers)}", "current_password": PASSWORD, **wanted}
    made = await owner.post("/api/v1/tokens", json=body)
    assert made.status == 201, made.text
    return replace(owner, token=made.json["token"], platform=stage.platform)


async def _of_administrator(stage: ApiStage) -> Person:
    admin = await stage.platform.person(is_admin=True)
    return await _holder(stage, admin, {"scopes": ["read", "deploy"]})


def _asking(scope: Scope) -> list[Any]:
    return [endpoint for endpoint in ENDPOINTS if endpoint.scope is scope]


ANOTHER_APP = _token(app_id=...)
SCOPES = [
    every_endpoint("endpoints of credentials, by an access token", _asking(Scope.SESSION), _token(), "403 FORBIDDEN"),
    every_endpoint("endpoints that change, by a token to read", _asking(Scope.DEPLOY), _token(scopes=["read"]),
                   "403 FORBIDDEN"),
    every_endpoint("endpoints of administrators, by a token without that", _asking(Scope.ADMIN), _of_administrator,
                   "403 FORBIDDEN"),
    every_endpoint("endpoints of an app, by a token for another one", endpoints_of(Access.APP_OWNER), ANOTHER_APP,
                   "404 NOT_FOUND"),
    every_endpoint("endpoints of a deployment, by a token for another app", endpoints_of(Access.DEPLOYMENT_OWNER),
                   ANOTHER_APP, "404 NOT_FOUND"),
]  # fmt: skip


def _token_after(statement: str = "") -> Tries[ApiStage]:
    async def use(stage: ApiStage) -> Got:
        person = await stage.platform.person()
        holder = await _holder(stage, person, {})
        if statement:
            await stage.platform.execute(statement, person.id)
        return let_in(await holder.get("/api/apps"))

    return use


async def _token_after_reset(stage: ApiStage) -> Got:
    person = await stage.platform.person()
    holder = await _holder(stage, person, {})
    sent = await stage.platform.nobody.post("/api/auth/forgot-password", json={"email": person.email})
    body = {"email": person.email, "otp": sent.json["otp"], "password": NEW}
    assert (await stage.platform.nobody.post("/api/auth/reset-password", json=body)).status == 200
    return let_in(await holder.get("/api/apps"))


@asynccontextmanager
async def with_codes(stage: ApiStage) -> AsyncIterator[ApiStage]:
    codes = config.AuthSettings(development_codes=True, code_cooldown_seconds=0.001)
    yield moved(stage, await stage.launch(auth=codes))


BEFORE: Open[ApiStage] = Open("before that", as_it_is)
ENDED = [
    Attempt("access token after its end", _token_after("UPDATE api_token SET expires_at = now() WHERE account = $1"),
            "401 SIGN_IN_REQUIRED", BEFORE, _token_after()),
    Attempt("access token of a deleted account",
            _token_after("UPDATE account SET deleted_at = now() WHERE id = $1"), "401 SIGN_IN_REQUIRED", BEFORE,
            _token_after()),
]  # fmt: skip
RESET = [
    Attempt("access token after a new password by code", _token_after_reset, "401", BEFORE, _token_after())
]
