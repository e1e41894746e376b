"""What strangers can do before they sign in: little, slowly, and nothing to somebody else."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from operator import truediv
from typing import Any

import pytest

from stackyn_server import config
from tests.contract.conftest import GENEROUS, PASSWORD, Answer, Person, Platform, Statements
from tests.contract.test_conventions import is_error
from tests.contract.test_sign_in import token_of
from tests.contract.test_sign_up import code_for, is_invalid, let_cool_down, wrong
from tests.patience import within

OWNER = {"X-Forwarded-For": "203.0.113.1"}


def stranger(number: int) -> dict[str, str]:
    return {"X-Forwarded-For": f"198.51.100.{number}"}


async def post(platform: Platform, endpoint: str, network: dict[str, str], **body: Any) -> Answer:
    return await platform.nobody.post(f"/api/auth/{endpoint}", json=body, headers=network)


async def ask_for_code(platform: Platform, email: str, network: dict[str, str] = OWNER) -> str:
    await let_cool_down(platform)
    return await code_for(platform, email, headers=network)


async def guess(platform: Platform, email: str, code: str, network: dict[str, str]) -> Answer:
    return await post(platform, "verify-otp", network, email=email, otp=code)


# Passwords


async def test_a_stranger_never_locks_the_owner_out(launch: Callable[..., Any]) -> None:
    rates = config.RatesSettings(
        authentication_per_account="9/day", authentication_per_address="1000/day", free_failures=3
    )
    platform = await launch(rates=rates)
    owner = await platform.person()
    body = {"email": owner.email, "password": "guess"}
    statuses = [(await post(platform, "login", stranger(1), **body)).status for _ in range(12)]
    assert statuses == [401] * 4 + [429] * 8
    assert (await post(platform, "login", OWNER, email=owner.email, password=PASSWORD)).status == 200


async def test_guessing_is_followed_by_pauses_also_with_a_session(launch: Callable[..., Any]) -> None:
    platform = await launch(rates=GENEROUS.model_copy(update={"free_failures": 2}))
    person = await platform.person(signed_in_by_code=False)
    body = {"password": "another password", "current_password": "guess"}
    answers = [await person.post("/api/auth/update-profile", json=body) for _ in range(4)]
    assert [answer.status for answer in answers] == [400, 400, 400, 429]
    assert int(answers[-1].headers["Retry-After"]) >= 1


async def test_ipv6_is_counted_by_its_64(launch: Callable[..., Any]) -> None:
    platform = await launch(rates=config.RatesSettings(authentication_per_address="2/day"))

    async def attempt(address: str) -> int:
        body = {"email": f"{address}@b.test".replace(":", "-"), "password": "x"}
        return (await post(platform, "login", {"X-Forwarded-For": address}, **body)).status

    assert [await attempt(f"2001:db8:1:2::{host}") for host in (1, 2, 3)] == [401, 401, 429]
    assert await attempt("2001:db8:1:3::1") == 401


# Codes


async def test_a_strangers_tries_never_void_the_owners_code(launch: Callable[..., Any]) -> None:
    platform = await launch(auth=config.AuthSettings(strange_code_attempts=50))
    owner = await platform.person()
    code = await ask_for_code(platform, owner.email)
    tried = []
    for number in range(1, 13):
        tried += [
            (await guess(platform, owner.email, wrong(code), stranger(number))).status for _ in range(6)
        ]
    assert tried.count(401) == 50, "each network has five, all strange ones together fifty"
    assert is_error(await guess(platform, owner.email, code, stranger(99)), 429, "CODE_ATTEMPTS")
    for _ in range(4):
        assert is_invalid(await guess(platform, owner.email, wrong(code), OWNER))
    assert (await guess(platform, owner.email, code, OWNER)).status == 200


async def test_guessing_all_codes_of_a_day_stays_under_1_in_10_000(platform: Platform) -> None:
    """Each guesser has a network of its own, asks for a code itself, and guesses until it is refused."""
    owner = await platform.person()
    tries = 0
    for number in range(1, 25):
        code = await ask_for_code(platform, owner.email, stranger(number))
        while (await guess(platform, owner.email, wrong(code), stranger(number))).status == 401:
            tries += 1
    assert tries / 10**6 < 1 / 10_000


async def test_a_network_that_was_signed_in_is_no_stranger(platform: Platform) -> None:
    owner = await platform.person()
    assert (await post(platform, "login", OWNER, email=owner.email, password=PASSWORD)).status == 200
    for number in range(1, 25):
        code = await ask_for_code(platform, owner.email, stranger(number))
        for _ in range(5):
            await guess(platform, owner.email, wrong(code), stranger(number))
    assert is_error(await guess(platform, owner.email, code, stranger(99)), 429, "CODE_ATTEMPTS")
    assert (await guess(platform, owner.email, code, OWNER)).status == 200


# The same for everybody


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("login", {"password": "not the password"}),
        ("login", {"otp": "000000"}),
        ("send-otp", {}),
        ("forgot-password", {}),
        ("verify-otp", {"otp": "000000"}),
        ("reset-password", {"otp": "000000", "password": "another password"}),
    ],
    ids=str,
)
async def test_known_and_unknown_addresses_answer_alike(
    platform: Platform, endpoint: str, body: dict[str, str]
) -> None:
    times = (
        9 if "password" in body else 41
    )  # the hash of a password takes long, and so about as long each time
    people = [await platform.person() for _ in range(times)]
    answers: dict[bool, list[Answer]] = {True: [], False: []}
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for number, person in enumerate(people):
        pair = [(True, person.email), (False, f"unknown-{number}@example.test")]
        for is_known, address in pair[:: 1 if number % 2 else -1]:
            started = time.perf_counter()
            answers[is_known].append(await post(platform, endpoint, OWNER, email=address, **body))
            seconds[is_known].append(time.perf_counter() - started)
    shown = {
        is_known: {
            (answer.status, answer.json.get("error"), answer.json.get("message")) for answer in of_kind
        }
        for is_known, of_kind in answers.items()
    }
    assert shown[True] == shown[False] and len(shown[True]) == 1
    # Each pair is measured at the same time: what else the machine does then weighs on both.
    ratio = statistics.median(map(truediv, seconds[True], seconds[False]))
    assert 2 / 3 < ratio < 3 / 2, ratio


# Tokens

GARBAGE = {
    "a.b.c": "no JWT",
    "stk_": "an access token without a secret",
    "stk_" + "x" * 44: "an access token that is too long",
    "stk_" + "/" * 43: "an access token of other characters",
    "x" * 4000: "long",
}


@pytest.mark.parametrize("token", GARBAGE, ids=GARBAGE.values())
async def test_garbage_asks_no_database(
    platform: Platform,
    statements: Statements,
    token: str,
) -> None:
    with statements.of() as asked:
        assert (await Person(platform, token=token).get("/api/apps")).status == 401
    assert not asked


async def test_wrong_tokens_of_a_network_are_limited(
    launch: Callable[..., Any],
    statements: Statements,
) -> None:
    platform = await launch(rates=GENEROUS.model_copy(update={"wrong_tokens_per_address": "5/day"}))
    person = await platform.person()
    known = await person.api_token()
    unseen = await person.api_token()
    assert (await known.get("/api/apps", headers=stranger(1))).status == 200
    made_up = Person(platform, token="stk_" + "x" * 43)
    statuses = [(await made_up.get("/api/apps", headers=stranger(1))).status for _ in range(7)]
    assert statuses == [401] * 5 + [429] * 2
    with statements.of() as asked:
        refused = await made_up.get("/api/apps", headers=stranger(1))
    assert is_error(refused, 429, "RATE_LIMITED") and refused.headers["Retry-After"] and not asked
    # Others behind that network go on: with tokens that were right before, and with sessions, also new ones.
    assert (await known.get("/api/apps", headers=stranger(1))).status == 200
    assert (await person.get("/api/apps", headers=stranger(1))).status == 200
    assert (
        await Person(platform, token=token_of(person)).get("/api/apps", headers=stranger(1))
    ).status == 401
    assert (await unseen.get("/api/apps", headers=stranger(1))).status == 429
    assert (await unseen.get("/api/apps", headers=stranger(2))).status == 200


async def test_readiness_is_limited_but_for_this_machine(launch: Callable[..., Any]) -> None:
    platform = await launch(rates=GENEROUS.model_copy(update={"readiness_per_address": "2/day"}))
    ready = platform.nobody.get
    assert [(await ready("/health/ready", headers=OWNER)).status for _ in range(3)] == [200, 200, 429]
    assert {(await ready("/health/ready")).status for _ in range(5)} == {200}
    assert (await ready("/health", headers=OWNER)).status == 200


# Connections


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /health HTTP/1.1\r\nHost: api\r\nX-",
        b"GET /health HTTP/1.1\r\nHost: api\r\n\r\nGET /hea",
    ],
    ids=["nothing", "half a head", "half a second head"],
)
async def test_half_sent_headers_end_in_seconds(launch: Callable[..., Any], sent: bytes) -> None:
    server = {"header_seconds": 0.3, "idle_seconds": 0.3}
    platform = await launch(server=config.ServerSettings(data_dir="/nonexistent", **server))
    async with AsyncExitStack() as stack:
        connections = [await connected(platform, stack) for _ in range(50)]
        for _, writer in connections:
            writer.write(sent)
        async with within(5):
            await asyncio.gather(*(reader.read() for reader, _ in connections))


async def test_half_a_head_after_an_answer_ends_too(launch: Callable[..., Any]) -> None:
    server = {"header_seconds": 0.3, "idle_seconds": 3600}
    platform = await launch(server=config.ServerSettings(data_dir="/nonexistent", **server))
    async with AsyncExitStack() as stack:
        reader, writer = await connected(platform, stack)
        writer.write(b"GET /health HTTP/1.1\r\nHost: api\r\n\r\n")
        assert await reader.readuntil(b'{"status":"ok"}')
        writer.write(b"GET /hea")
        async with within(5):
            assert await reader.read() == b""


async def test_a_byte_now_and_then_gives_no_more_time(launch: Callable[..., Any]) -> None:
    platform = await launch(server=config.ServerSettings(data_dir="/nonexistent", header_seconds=0.5))
    async with AsyncExitStack() as stack:
        reader, writer = await connected(platform, stack)
        dripping = asyncio.create_task(drip(writer))
        async with within(5):
            await reader.read()
        dripping.cancel()


async def drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET /health HTTP/1.1\r\nX-Long: ")
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.1)  # how a slow client sends


async def test_a_request_that_takes_longer_is_answered(launch: Callable[..., Any]) -> None:
    server = {"header_seconds": 0.2, "idle_seconds": 5}
    platform = await launch(server=config.ServerSettings(data_dir="/nonexistent", **server))
    async with AsyncExitStack() as stack:
        reader, writer = await connected(platform, stack)
        writer.write(
            b"POST /api/auth/login HTTP/1.1\r\nHost: api\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"
        )
        await asyncio.sleep(0.4)  # longer than headers may take
        writer.write(b"{}")
        assert (await reader.read()).startswith(b"HTTP/1.1 400")


async def connected(
    platform: Platform, stack: AsyncExitStack
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(platform.client.host, platform.client.port)
    stack.callback(writer.close)
    return reader, writer
