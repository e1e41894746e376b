"""Streams: more than a tenant may have, and longer than one may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import WSMsgType, WSServerHandshakeError

from stackyn_server import config
from tests.hostile.api_stage import ApiStage, moved, with_settings
from tests.hostile.attempts import Attempt, Got, Open, Tries
from tests.patience import patient

MOST = 3
PROMISED_SECONDS = 5  # in which a stream ends with the right to it


@asynccontextmanager
async def narrow(stage: ApiStage) -> AsyncIterator[ApiStage]:
    """A server that lets nobody have many, and looks often whether they still may."""
    limits = config.StreamsSettings(per_user=MOST, per_app=MOST, check_seconds=0.1)
    platform = await stage.launch(streams=limits)
    watching = asyncio.create_task(platform.services.streams.watch(), name="streams.watch")
    try:
        yield moved(stage, platform)
    finally:
        watching.cancel()
        await asyncio.wait({watching})


WIDE: Open[ApiStage] = Open(
    "with a higher limit", with_settings(lambda: {"streams": config.StreamsSettings()})
)
UNWATCHED: Open[ApiStage] = Open(
    "where nobody looks after open streams", with_settings(lambda: {"streams": config.StreamsSettings()})
)


async def _many(stage: ApiStage) -> Got:
    """One more socket than the limit."""
    person = await stage.platform.person()
    path = f"/ws/build-status?app_id={await person.new_app()}&token={person.token}"
    async with AsyncExitStack() as stack:
        for _ in range(MOST + 1):
            try:
                await stack.enter_async_context(stage.platform.client.ws_connect(path))
            except WSServerHandshakeError as refused:
                return Got(False, f"{refused.status}")
    return Got(True, "all are open")


def _after(statement: str, seconds: float) -> Tries[ApiStage]:
    """Success is a socket that is still open so long after the right to it was over."""

    async def keep(stage: ApiStage) -> Got:
        person = await stage.platform.person()
        path = f"/ws/build-status?app_id={await person.new_app()}&token={person.token}"
        async with stage.platform.client.ws_connect(path) as socket:
            await socket.receive_json(timeout=patient(PROMISED_SECONDS))
            await stage.platform.execute(statement, person.id)
            try:
                received = await socket.receive(timeout=patient(seconds))
            except TimeoutError:
                return Got(True, "it is open")
            return Got(received.type is not WSMsgType.CLOSE, f"{received.data} {received.extra}")

    return keep


STREAMS = [
    Attempt("more sockets than an account may have", _many, "429", WIDE),
    *(
        Attempt(
            f"socket after {what}",
            _after(statement, PROMISED_SECONDS),
            "1008",
            UNWATCHED,
            _after(statement, 0.5),
        )
        for what, statement in {
            "the sign-in has ended": "UPDATE session SET ended_at = now() WHERE account = $1",
            "the account was deleted": "UPDATE account SET deleted_at = now() WHERE id = $1",
            "the app was deleted": "UPDATE app SET desired = 'deleted' WHERE tenant = $1",
        }.items()
    ),
]
