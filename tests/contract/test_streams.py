"""Open streams and sockets: how many, for how long, and what they ask the database."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ClientPayloadError, WSCloseCode, WSMsgType, WSServerHandshakeError, web

from stackyn_server import config
from stackyn_server.api import streams
from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.ids import AppId, DeploymentId
from tests.contract.conftest import Person, Platform, Statements
from tests.contract.test_apps import move
from tests.contract.test_conventions import is_error
from tests.contract.test_logs import building, everything, following
from tests.contract.test_progress import first_deployment, receive
from tests.patience import within

__all__ = ["building"]

streams_begin = streams.begin
Launch = Callable[..., Awaitable[Platform]]

# How each right to a stream ends, with the words that its reader gets. $1 is the account.
SIGNED_OUT = "Your session has ended. Sign in again."
ENDINGS = {
    "UPDATE session SET ended_at = now() WHERE account = $1": SIGNED_OUT,
    "UPDATE session SET expires_at = now() WHERE account = $1": SIGNED_OUT,
    "UPDATE account SET deleted_at = now() WHERE id = $1": SIGNED_OUT,
    "UPDATE app SET desired = 'deleted' WHERE tenant = $1": "This app is not there any more.",
}
TOKEN_ENDINGS = {
    "DELETE FROM api_token WHERE account = $1": SIGNED_OUT,
    "UPDATE api_token SET expires_at = now() WHERE account = $1": SIGNED_OUT,
    "UPDATE account SET deleted_at = now() WHERE id = $1": SIGNED_OUT,
}


@asynccontextmanager
async def connected(person: Person, app: int) -> AsyncIterator[Any]:
    """A WebSocket whose first frame was read."""
    path = f"/ws/build-status?app_id={app}&token={person.token}"
    async with person.platform.client.ws_connect(path) as opened:
        await receive(opened)
        yield opened


async def with_a_token(person: Person) -> Person:
    """The same person, who uses an API token."""
    return replace(person, token=(await person.post("/api/v1/tokens", json={"name": "ci"})).json["token"])


@pytest.mark.parametrize(("limit", "who"), [("per_user", "You have"), ("per_app", "This app has")])
async def test_more_streams_than_the_limit_are_429(launch: Launch, limit: str, who: str) -> None:
    platform = await launch(streams=config.StreamsSettings(**{limit: 2}))
    person, other = await platform.person(), await platform.person()
    app, others_app = await person.new_app(), await other.new_app()
    deployment = await first_deployment(person, app)
    path = f"/api/v1/deployments/{deployment}/logs/stream"
    async with connected(person, app):
        async with following(person, deployment):
            refused = await person.get(path)
            assert is_error(refused, 429, "RATE_LIMITED")
            sentence = f"{who} 2 streams open, which is the most at once. Close one, then try again."
            assert (refused.json["error"], refused.headers["Retry-After"]) == (sentence, "5")
            with pytest.raises(WSServerHandshakeError) as handshake:
                await platform.client.ws_connect(f"/ws/build-status?app_id={app}&token={person.token}")
            assert handshake.value.status == 429
            async with connected(other, others_app):
                pass
        async with within(5):  # until the server has seen that the stream's client is gone
            while len(platform.services.streams) > 1:
                await platform.services.streams.check()
                await asyncio.sleep(0)
        async with connected(person, app):
            pass


async def test_one_query_looks_after_all_streams(
    platform: Platform, building: tuple[Person, AppId, DeploymentId], statements: Statements
) -> None:
    person, app, deployment = building
    async with (
        connected(person, app) as first,
        connected(await with_a_token(person), app) as second,
        following(person, deployment) as stream,
    ):
        platform.journal.write(app, deployment, "build", "a line\n")
        await stream.next()
        with statements.of() as asked:
            await platform.services.streams.check()
        assert len(asked) == 1
        await move(platform, deployment, Phase.CANCELLED)  # nobody was sent away
        assert (await receive(first))["status"] == (await receive(second))["status"] == "failed"
        assert (await stream.next())["event"] == "end"


@pytest.mark.parametrize(
    ("by_token", "statement", "sentence"),
    [(False, *ending) for ending in ENDINGS.items()] + [(True, *ending) for ending in TOKEN_ENDINGS.items()],
)
async def test_a_stream_ends_with_the_right_to_it(
    platform: Platform,
    building: tuple[Person, AppId, DeploymentId],
    by_token: bool,
    statement: str,
    sentence: str,
) -> None:
    person, app, deployment = building
    reader = await with_a_token(person) if by_token else person
    async with connected(reader, app) as opened, following(reader, deployment) as stream:
        await platform.execute(statement, person.id)
        await platform.services.streams.check()
        assert await stream.next() == {"event": "closing", "data": sentence}
        async with within(5):
            message = await opened.receive()
        assert (message.type, message.data, message.extra) == (
            WSMsgType.CLOSE,
            WSCloseCode.POLICY_VIOLATION,
            sentence,
        )


async def test_rights_are_looked_at_again_and_again(launch: Launch) -> None:
    assert config.StreamsSettings().check_seconds < 5, "the promise"
    platform = await launch(streams=config.StreamsSettings(check_seconds=0.05))
    person = await platform.person()
    app = await person.new_app()
    watching = asyncio.create_task(platform.services.streams.watch())
    async with connected(person, app) as opened, within(5):
        await platform.execute("UPDATE session SET ended_at = now() WHERE account = $1", person.id)
        assert (await opened.receive()).type is WSMsgType.CLOSE
    watching.cancel()
    await asyncio.wait({watching})


async def test_frames_are_pushed_without_a_query(
    platform: Platform, building: tuple[Person, AppId, DeploymentId], statements: Statements
) -> None:
    person, app, deployment = building
    async with connected(person, app) as first, connected(person, app) as second:
        with statements.of() as asked:
            await move(platform, deployment, Phase.BUILT)
            for opened in (first, second):
                assert (await receive(opened))["data"] == {"phase": "built"}
        assert len(asked) == 4, "BEGIN, the row, the move and COMMIT"


async def test_a_reader_that_takes_nothing_is_dropped_and_resumes(
    launch: Launch, records: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = await launch(streams=config.StreamsSettings(stalled_seconds=0.2))
    person = await platform.person()
    app = await person.new_app()
    deployment = DeploymentId(await first_deployment(person, app))
    monkeypatch.setattr(streams, "begin", _begin_with_small_buffer)
    writing = asyncio.create_task(platform.journal.run())
    lines = [f"{number} {'x' * 1000}" for number in range(3000)]
    events: list[dict[str, str]] = []
    async with following(person, deployment) as stream:
        platform.journal.write(app, deployment, "build", "".join(f"{line}\n" for line in lines))
        async with within(10):
            while not any(record["event"] == "stream.dropped" for record in records):
                await platform.journal.flush(deployment)
        with pytest.raises((ClientPayloadError, asyncio.IncompleteReadError)):
            while True:
                events.append(await stream.next())
    await move(platform, deployment, Phase.CANCELLED)
    rest = await everything(person, deployment, **{"Last-Event-ID": events[-1]["id"]})
    writing.cancel()
    await asyncio.wait({writing})
    assert rest, "it was dropped before the end"
    assert [line for event in events + rest for line in event["data"].split("\n")] == lines


async def _begin_with_small_buffer(request: web.Request, content_type: str) -> web.StreamResponse:
    """Else the kernel takes megabytes for a reader."""
    assert request.transport is not None
    request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return await streams_begin(request, content_type)
