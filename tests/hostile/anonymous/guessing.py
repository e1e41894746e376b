"""Guessing passwords and codes, taking over addresses, and learning who has an account."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stackyn_server import config
from tests.contract.conftest import PASSWORD
from tests.hostile.api_stage import ApiStage, let_in, moved, said, with_settings
from tests.hostile.attempts import Attempt, Got, Open, Tries, as_it_is

SIGN_IN, ENDED = "401 SIGN_IN_REQUIRED", "401 SESSION_ENDED"
_numbers = itertools.count(1)


RATES = config.RatesSettings(authentication_per_account="3/day", authentication_per_address="12/day")
FREE_RATES = config.RatesSettings(
    authentication_per_account="10000/minute", authentication_per_address="10000/minute"
)


@asynccontextmanager
async def rated(stage: ApiStage) -> AsyncIterator[ApiStage]:
    """A server of its own counters, with codes in its answers."""
    yield moved(stage, await stage.launch(rates=RATES, auth=CODES))


CODES = config.AuthSettings(development_codes=True, code_cooldown_seconds=0.001)
UNRATED: Open[ApiStage] = Open(
    "without limits",
    with_settings(
        lambda: {
            "rates": FREE_RATES,
            "auth": config.AuthSettings(
                development_codes=True, code_cooldown_seconds=0.001, code_attempts=99
            ),
        }
    ),
)


async def _guess_password(stage: ApiStage) -> Got:
    """Four wrong ones, then the right one."""
    victim = await stage.platform.person()
    for guess in [*(f"guess {number}" for number in range(4)), PASSWORD]:
        answer = await stage.platform.nobody.post(
            "/api/auth/login", json={"email": victim.email, "password": guess}
        )
    return let_in(answer)


async def _guess_password_by_names(stage: ApiStage) -> Got:
    """The same, with the victim's address written in four ways."""
    victim = await stage.platform.person()
    spellings = [victim.email.upper()[:letters] + victim.email[letters:] for letters in range(1, 5)]
    for email, password in [*((spelling, "guess") for spelling in spellings), (victim.email, PASSWORD)]:
        body = {"email": f" {email} ", "password": password}
        answer = await stage.platform.nobody.post("/api/auth/login", json=body)
    return let_in(answer)


def _guess_code(path: str, send: str) -> Tries[ApiStage]:
    async def guess(stage: ApiStage) -> Got:
        victim = await stage.platform.person()
        code = (await stage.platform.nobody.post(send, json={"email": victim.email})).json["otp"]
        wrong = [f"{(int(code) + step) % 10**6:06}" for step in range(1, 9)]
        for tried in [*wrong, code]:
            body = {"email": victim.email, "otp": tried, "password": "another password"}
            answer = await stage.platform.nobody.post(path, json=body)
        return let_in(answer)

    return guess


async def _from_many_addresses(stage: ApiStage) -> Got:
    """Sign-ins of fifteen accounts, each from an address that the client claims to have. The last is what the ingress
    saw, as it adds it."""
    for number in range(15):
        headers = {
            "X-Forwarded-For": f"198.51.100.{number}, 203.0.113.9",
            "X-Real-IP": f"198.51.100.{number}",
        }
        body = {"email": f"sprayed-{number}@example.test", "otp": "000000"}
        answer = await stage.platform.nobody.post("/api/auth/verify-otp", json=body, headers=headers)
    return Got(answer.status == 401, said(answer))


async def _squat(stage: ApiStage) -> Got:
    """Sign up with somebody's address, and wait until its owner proves it: does the squatter's sign-in last?"""
    email = f"squatted-{next(_numbers)}@example.test"
    squatter = await stage.platform.nobody.post(
        "/api/auth/signup", json={"email": email, "password": PASSWORD}
    )
    code = (await stage.platform.nobody.post("/api/auth/send-otp", json={"email": email})).json["otp"]
    proved = await stage.platform.nobody.post("/api/auth/verify-otp", json={"email": email, "otp": code})
    assert proved.status == 200, proved.text
    token = await stage.holding(squatter.json["token"]).get("/api/user/me")
    password = await stage.platform.nobody.post(
        "/api/auth/login", json={"email": email, "password": PASSWORD}
    )
    return Got(token.status == 200 or password.status == 200, said(token))


async def _squat_unproven(stage: ApiStage) -> Got:
    email = f"squatted-{next(_numbers)}@example.test"
    squatter = await stage.platform.nobody.post(
        "/api/auth/signup", json={"email": email, "password": PASSWORD}
    )
    return let_in(await stage.holding(squatter.json["token"]).get("/api/user/me"))


async def _use_code_twice(stage: ApiStage) -> Got:
    victim = await stage.platform.person()
    code = (await stage.platform.nobody.post("/api/auth/send-otp", json={"email": victim.email})).json["otp"]
    body = {"email": victim.email, "otp": code}
    assert (await stage.platform.nobody.post("/api/auth/verify-otp", json=body)).status == 200
    return let_in(await stage.platform.nobody.post("/api/auth/verify-otp", json=body))


async def _use_code_once(stage: ApiStage) -> Got:
    victim = await stage.platform.person()
    code = (await stage.platform.nobody.post("/api/auth/send-otp", json={"email": victim.email})).json["otp"]
    return let_in(
        await stage.platform.nobody.post("/api/auth/verify-otp", json={"email": victim.email, "otp": code})
    )


async def _code_of_other_purpose(stage: ApiStage) -> Got:
    victim = await stage.platform.person()
    sent = await stage.platform.nobody.post("/api/auth/forgot-password", json={"email": victim.email})
    body = {"email": victim.email, "otp": sent.json["otp"]}
    return let_in(await stage.platform.nobody.post("/api/auth/verify-otp", json=body))


async def _code_in_the_answer(stage: ApiStage) -> Got:
    answer = await stage.platform.nobody.post("/api/auth/send-otp", json={"email": "code@example.test"})
    return Got("otp" in answer.json, said(answer))


def _tells_accounts_apart(path: str, **body: str) -> Tries[ApiStage]:
    """Success is an answer for an address with an account that differs from the one for an address without."""

    async def ask(stage: ApiStage) -> Got:
        known = await stage.platform.person()
        same = {"X-Request-Id": "one-and-the-same"}
        answers = [
            await stage.platform.nobody.post(path, json={"email": email, **body}, headers=same)
            for email in (known.email, f"unknown-{next(_numbers)}@example.test")
        ]
        seen = [(answer.status, answer.json) for answer in answers]
        return Got(seen[0] != seen[1], said(answers[0]))

    return ask


GUESSING = [
    Attempt("guessing a password", _guess_password, "429 RATE_LIMITED", UNRATED),
    Attempt(
        "guessing a password, the address in many spellings",
        _guess_password_by_names,
        "429 RATE_LIMITED",
        UNRATED,
    ),
    Attempt(
        "guessing a sign-in code", _guess_code("/api/auth/verify-otp", "/api/auth/send-otp"), "429", UNRATED
    ),
    Attempt(
        "guessing a code for a new password",
        _guess_code("/api/auth/reset-password", "/api/auth/forgot-password"),
        "429",
        UNRATED,
    ),
    Attempt(
        "claiming many addresses to the rate limit",
        _from_many_addresses,
        "429 RATE_LIMITED",
        Open(
            "behind a trusted proxy",
            with_settings(
                lambda: {
                    "rates": RATES,
                    "ingress": config.IngressSettings(trusted_proxies=("203.0.113.0/24",)),
                }
            ),
        ),
    ),
    Attempt(
        "signing up with somebody's address and waiting",
        _squat,
        ENDED,
        Open("until its owner proves it", as_it_is),
        _squat_unproven,
    ),
    Attempt(
        "a code for the second time",
        _use_code_twice,
        "401 CODE_INVALID",
        Open("for the first time", as_it_is),
        _use_code_once,
    ),
    Attempt(
        "signing in with a code for a new password",
        _code_of_other_purpose,
        "401 CODE_INVALID",
        Open("with a code for that", as_it_is),
        _use_code_once,
    ),
]
UNTOLD = [
    Attempt(
        "a code in the answer",
        _code_in_the_answer,
        "200",
        Open("development_codes = true", with_settings(lambda: {"auth": CODES})),
    ),
    Attempt(
        "learning who has an account: sign-in",
        _tells_accounts_apart("/api/auth/login", password="guessed guess"),
        "401",
        Open("sign-in with the password", as_it_is),
        _tells_accounts_apart("/api/auth/login", password=PASSWORD),
    ),
    Attempt(
        "learning who has an account: sign-in code",
        _tells_accounts_apart("/api/auth/send-otp"),
        "200",
        Open("sign-up, which has to say so", as_it_is),
        _tells_accounts_apart("/api/auth/signup", password=PASSWORD),
    ),
    Attempt(
        "learning who has an account: forgotten password",
        _tells_accounts_apart("/api/auth/forgot-password"),
        "200",
        Open("sign-up, which has to say so", as_it_is),
        _tells_accounts_apart("/api/auth/signup", password="another password"),
    ),
]
