"""Costs that strangers decide, and locking somebody out of an account."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from stackyn_server import config
from tests.contract.conftest import GENEROUS, PASSWORD, Answer
from tests.hostile.api_stage import ApiStage, moved, said, with_settings
from tests.hostile.attempts import Attempt, Got, Open, Tries, as_it_is
from tests.patience import within

STRANGER, OWNER = "203.0.113.9", "198.51.100.7"
RATES = GENEROUS.model_copy(
    update={
        "wrong_tokens_per_address": "5/day",
        "readiness_per_address": "5/day",
        "authentication_per_address": "5/day",
        "free_failures": 2,
        "failure_pause_seconds": 60,
    }
)
SERVER = {"header_seconds": 0.3, "idle_seconds": 0.3}


@asynccontextmanager
async def careful(stage: ApiStage) -> AsyncIterator[ApiStage]:
    """A server of its own counters."""
    auth = config.AuthSettings(development_codes=True, code_cooldown_seconds=0.001, code_attempts=2)
    server = config.ServerSettings(data_dir=stage.platform.settings.server.data_dir, **SERVER)
    yield moved(stage, await stage.launch(rates=RATES, auth=auth, server=server))


UNLIMITED: Open[ApiStage] = Open("without limits", with_settings(lambda: {"rates": GENEROUS}))


def _repeats(method: str, path: str, at: Callable[[int], str], **options: object) -> Tries[ApiStage]:
    """Success is an eighth answer like the first."""

    async def repeat(stage: ApiStage) -> Got:
        answers: list[Answer] = []
        for number in range(8):
            headers = {"X-Forwarded-For": at(number)}
            if path == "/api/apps":
                headers["Authorization"] = f"Bearer {stage.owner.token}x{number}"
            answers.append(await stage.platform.nobody.call(method, path, headers=headers, **options))
        return Got(answers[-1].status == answers[0].status, said(answers[-1]))

    return repeat


def _one(_: int) -> str:
    return STRANGER


def _of_one_network(number: int) -> str:
    return f"2001:db8:1:2::{number + 1:x}"


def _of_many_networks(number: int) -> str:
    return f"2001:db8:1:{number + 1:x}::1"


CODE = {"email": "nobody@example.test", "otp": "000000"}
COSTS = [
    Attempt("flood of wrong tokens", _repeats("GET", "/api/apps", _one), "429 RATE_LIMITED", UNLIMITED),
    Attempt("flood of questions whether the server is ready", _repeats("GET", "/health/ready", _one),
            "429 RATE_LIMITED", UNLIMITED),
    Attempt("guessing from the many addresses of one IPv6 network",
            _repeats("POST", "/api/auth/verify-otp", _of_one_network, json=CODE), "429", Open("of many", as_it_is),
            _repeats("POST", "/api/auth/verify-otp", _of_many_networks,
                     json={"email": "nobody-else@example.test", "otp": "000000"})),
]  # fmt: skip


async def _half_a_request(stage: ApiStage) -> Got:
    """Success is a connection that is still open long after half of its headers came."""
    reader, writer = await asyncio.open_connection(stage.platform.client.host, stage.platform.client.port)
    writer.write(b"GET /health HTTP/1.1\r\nHost: api\r\nX-Half: ")
    try:
        async with asyncio.timeout(1.5):
            while await reader.read(1000):
                continue
    except TimeoutError:
        return Got(True, "it is open")
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
    return Got(False, "the connection was closed")


PATIENT: Open[ApiStage] = Open(
    "header_seconds = 60", with_settings(lambda: {"server": config.ServerSettings(header_seconds=60)})
)
COSTS += [Attempt("half of a request", _half_a_request, "the connection was closed", PATIENT)]


# Success is that the owner, who knows the password or has the code, is refused.


def _locks_out(of: str) -> Tries[ApiStage]:
    """Fail often enough for a pause, from one network; then its owner signs in from `of`."""

    async def lock(stage: ApiStage) -> Got:
        victim = await stage.platform.person()
        for _ in range(4):
            await _sign_in(stage, victim.email, STRANGER, password="guessed guess")
        answer = await _sign_in(stage, victim.email, of, password=PASSWORD)
        return Got(answer.status != 200, said(answer))

    return lock


def _voids_code(of: str) -> Tries[ApiStage]:
    async def void(stage: ApiStage) -> Got:
        victim = await stage.platform.person()
        headers = {"X-Forwarded-For": of}
        sent = await stage.platform.nobody.post(
            "/api/auth/send-otp", json={"email": victim.email}, headers=headers
        )
        for guess in range(4):
            await _sign_in(
                stage, victim.email, STRANGER, otp=f"{(int(sent.json['otp']) + guess + 1) % 10**6:06}"
            )
        answer = await _sign_in(stage, victim.email, of, otp=sent.json["otp"])
        return Got(answer.status != 200, said(answer))

    return void


async def _sign_in(stage: ApiStage, email: str, network: str, **proof: str) -> Answer:
    async with within(20):
        return await stage.platform.nobody.post(
            "/api/auth/login", json={"email": email, **proof}, headers={"X-Forwarded-For": network}
        )


SAME_NETWORK: Open[ApiStage] = Open("an owner in the network of the attacker", as_it_is)
GENTLE = RATES.model_copy(update={"authentication_per_address": "1000/day"})


@asynccontextmanager
async def slow_to_guess(stage: ApiStage) -> AsyncIterator[ApiStage]:
    auth = config.AuthSettings(development_codes=True, code_cooldown_seconds=0.001, code_attempts=2)
    yield moved(stage, await stage.launch(rates=GENTLE, auth=auth))


LOCKING_OUT = [
    Attempt(
        "locking an owner out by wrong passwords",
        _locks_out(OWNER),
        "200",
        SAME_NETWORK,
        _locks_out(STRANGER),
    ),
    Attempt(
        "making an owner's code worthless", _voids_code(OWNER), "200", SAME_NETWORK, _voids_code(STRANGER)
    ),
]
