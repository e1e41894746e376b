"""The process: opens files, database and ports in order, serves until a signal, and closes them in reverse order."""

from __future__ import annotations

import asyncio
import resource
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import structlog
from aiohttp import web

from stackyn_server import config, config_file, telemetry
from stackyn_server.api import frontend
from stackyn_server.api.application import create_app
from stackyn_server.api.hold import create_hold_app
from stackyn_server.api.runner import ApiRunner
from stackyn_server.api.services import Services
from stackyn_server.config import Settings
from stackyn_server.errors import StackynError
from stackyn_server.jobs.data_directory import DataDirectory
from stackyn_server.jobs.leadership import Leadership
from stackyn_server.jobs.supervisor import Supervisor
from stackyn_server.operations.hold import RequestHold
from stackyn_server.pause import Pause
from stackyn_server.postgres.embedded import EmbeddedPostgres
from stackyn_server.security.keys import load_keys
from stackyn_server.security.redaction import redact_event
from stackyn_server.security.secret_files import read_secret
from stackyn_server.store import installation
from stackyn_server.store.database import Database
from stackyn_server.store.failures import DatabaseRefused, DatabaseUnavailable
from stackyn_server.store.migrator import migrate
from stackyn_server.wiring import Server

log = structlog.get_logger()

LEADERSHIP_LOST = 75  # exit code, EX_TEMPFAIL of sysexits.h: another server leads now
_LOOPBACK = "127.0.0.1"
_REFUSAL_SECONDS = 2.0  # for the answers to requests that are refused when the server stops


def run(config_path: Path | None, take_over: bool) -> int:
    """Serve until SIGTERM or SIGINT and return the exit code. A `StackynError` before that is the caller's to print."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold keys and opened secrets
    settings = config_file.load(config_path)
    telemetry.configure(settings.server.log_level, redaction=[redact_event])
    return asyncio.run(_serve(settings, take_over))


async def _serve(settings: Settings, take_over: bool) -> int:
    stopping = _stop_signal()
    async with AsyncExitStack() as stack:
        directory = await DataDirectory.acquire(
            settings.server.data_dir, take_over=take_over, take_over_seconds=settings.jobs.take_over_seconds
        )
        stack.callback(directory.release)
        keys = await asyncio.to_thread(load_keys, settings.server.data_dir / "keys")
        supervisor = Supervisor(settings.jobs)
        database = await _open_database(settings, supervisor, stack)
        leadership = await Leadership.take(database, settings.jobs, directory.identity)
        stack.push_async_callback(leadership.resign)
        async with database.connection() as connection:
            this_installation = await installation.get(connection)
        metrics_token = await asyncio.to_thread(_metrics_token, settings)
        server = Server(settings, database, leadership, keys, this_installation, metrics_token)
        stack.push_async_callback(server.journal.close)
        stack.push_async_callback(server.engine.close)
        stack.push_async_callback(supervisor.stop)
        await _listen_for_held(settings, server, stack)  # the proxy may already hold requests
        server.start(supervisor)
        await _listen(settings, server.services, stack)
        await _serve_clients(settings, stack)
        log.info("server.started", installation=str(this_installation.id), epoch=leadership.epoch)
        telemetry.notify("READY=1", "STATUS=Serving.")
        await _first(stopping, leadership.lost)
        telemetry.notify("STOPPING=1", "STATUS=Finishing requests and builds.")
        if leadership.lost.is_set():
            return LEADERSHIP_LOST
        await server.dispatcher.stop(settings.server.drain_seconds)
        log.info("server.stopping")
    return 0


async def _open_database(settings: Settings, supervisor: Supervisor, stack: AsyncExitStack) -> Database:
    """Open the configured database once it answers, or start the embedded one, and migrate its tables."""
    url = settings.database.url
    if not url:
        postgres = EmbeddedPostgres(
            settings.server.data_dir, settings.database, pause=Pause.of(settings.jobs)
        )
        url = await postgres.start()
        stack.push_async_callback(postgres.stop)
        supervisor.start("postgres", postgres.keep_running)
    database = await Database.open(url, settings.database, application_name="stackyn")
    stack.push_async_callback(database.close)
    pause = Pause.of(settings.jobs)
    while True:
        try:
            async with database.connection() as connection:
                await migrate(connection)
            return database
        except DatabaseRefused:
            raise
        except DatabaseUnavailable as error:
            log.warning("database.waits", reason=error.message)
            await pause.wait()


async def _listen(settings: Settings, services: Services, stack: AsyncExitStack) -> None:
    runner = ApiRunner(
        create_app(services, settings),
        settings.allowed_origins,
        settings.server,
        access_log=None,
        shutdown_timeout=settings.server.drain_seconds,
    )
    await _serve_with(runner, stack, "The API", settings.server.host, settings.server.port, "[server] port")


async def _listen_for_held(settings: Settings, server: Server, stack: AsyncExitStack) -> None:
    """Open the hold endpoint. A client that disconnects stops waiting; the others are refused when the server stops."""
    request_hold = RequestHold(server.database, server.held_requests, settings.hold)
    runner = web.AppRunner(
        create_hold_app(request_hold, settings.hold.refuse_seconds),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=_REFUSAL_SECONDS,
    )
    await _serve_with(runner, stack, "The hold endpoint", _LOOPBACK, settings.hold.port, "[hold] port")
    stack.callback(server.held_requests.close)


async def _serve_clients(settings: Settings, stack: AsyncExitStack) -> None:
    """Serve the built web clients on a port of their own, if there are any."""
    web_clients = await asyncio.to_thread(frontend.web_clients, settings.frontend)
    if not web_clients:
        return
    runner = web.AppRunner(
        frontend.create_frontend_app(web_clients, settings.public.base_domain),
        access_log=None,
        shutdown_timeout=_REFUSAL_SECONDS,
    )
    await _serve_with(runner, stack, "The web clients", _LOOPBACK, settings.frontend.port, "[frontend] port")


async def _serve_with(
    runner: web.AppRunner, stack: AsyncExitStack, what: str, host: str, port: int, setting: str
) -> None:
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise StackynError(
            f"{what} can't listen on {host}:{port}: {error.strerror}.",
            hint=f"Stop what uses that port, or set {setting} in config.toml.",
        ) from error


def _metrics_token(settings: Settings) -> str:
    path = settings.metrics.token_file
    token = read_secret(path, "[metrics] token_file").strip()
    if path and not token:
        raise config.ConfigInvalid("[metrics] token_file is empty.")
    return token


def _stop_signal() -> asyncio.Event:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping


async def _first(*events: asyncio.Event) -> None:
    """Return when one of the events is set."""
    waiting = [asyncio.create_task(event.wait(), name="server.waits") for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
