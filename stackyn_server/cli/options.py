"""What the commands share: the path of the settings, error output, and access to the database."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from stackyn_server import config
from stackyn_server.errors import StackynError
from stackyn_server.postgres.embedded import EmbeddedPostgres, embedded_url, is_running
from stackyn_server.store import migrator
from stackyn_server.store.database import Database

_DEFAULT_CONFIG = Path("/etc/stackyn/config.toml")
_FAILED = 1

ConfigPath = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="STACKYN_CONFIG",
        help=f"The config.toml to use. Default: {_DEFAULT_CONFIG} if there is one, else the defaults.",
    ),
]


def default_config() -> Path | None:
    return _DEFAULT_CONFIG if os.path.exists(_DEFAULT_CONFIG) else None


@contextmanager
def failures_printed() -> Iterator[None]:
    """For a `StackynError`, print its sentence and its hint to stderr and end the process with its exit code."""
    try:
        yield
    except StackynError as error:
        typer.echo(error.message, err=True)
        if error.hint:
            typer.echo(error.hint, err=True)
        sys.exit(getattr(error, "exit_code", _FAILED))


@asynccontextmanager
async def open_database(settings: config.Settings, *, migrated: bool = True) -> AsyncIterator[Database]:
    """Open the installation's database. An embedded one that no server runs is started until the end of the block.

    `migrated`: refuse tables of another release. In an embedded database that this command started, migrate instead.
    """
    async with AsyncExitStack() as stack:
        url, is_started_here = settings.database.url, False
        if not url:
            is_started_here = not await asyncio.to_thread(is_running, settings.server.data_dir)
            url = embedded_url(settings.server.data_dir)
        if is_started_here:
            postgres = EmbeddedPostgres(settings.server.data_dir, settings.database)
            stack.push_async_callback(postgres.stop)
            url = await postgres.start()
        database = await Database.open(url, settings.database, application_name="stackyn command")
        stack.push_async_callback(database.close)
        if migrated:
            async with database.connection() as connection:
                await (migrator.migrate if is_started_here else migrator.check)(connection)
        yield database
