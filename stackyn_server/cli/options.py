"""What every command shares: where the settings are, how a failure is said, and a way into the database."""

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
from stackyn_server.store import migrator
from stackyn_server.store.database import Database
from stackyn_server.store.embedded import EmbeddedPostgres, embedded_url, is_running

_USUAL_CONFIG = Path("/etc/stackyn/config.toml")
_FAILED = 1

ConfigPath = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="STACKYN_CONFIG",
        help=f"The config.toml to use. Default: {_USUAL_CONFIG} if there is one, else the defaults.",
    ),
]


def usual_config() -> Path | None:
    return _USUAL_CONFIG if os.path.exists(_USUAL_CONFIG) else None


@contextmanager
def failures_said() -> Iterator[None]:
    """End the process with one sentence on stderr (and a second line with the next step) for a `StackynError`."""
    try:
        yield
    except StackynError as error:
        typer.echo(error.message, err=True)
        if error.hint:
            typer.echo(error.hint, err=True)
        sys.exit(getattr(error, "exit_code", _FAILED))


@asynccontextmanager
async def open_database(settings: config.Settings, *, migrated: bool = True) -> AsyncIterator[Database]:
    """Open the installation's database; an embedded one that no server runs is started for the time being.

    With `migrated`, tables that aren't those of this release are refused, except in a database that only we use:
    there they are brought up to it.
    """
    async with AsyncExitStack() as stack:
        url, is_ours_alone = settings.database.url, False
        if not url:
            is_ours_alone = not await asyncio.to_thread(is_running, settings.server.data_dir)
            url = embedded_url(settings.server.data_dir)
        if is_ours_alone:
            postgres = EmbeddedPostgres(settings.server.data_dir, settings.database)
            stack.push_async_callback(postgres.stop)
            url = await postgres.start()
        database = await Database.open(url, settings.database, application_name="stackyn command")
        stack.push_async_callback(database.close)
        if migrated:
            async with database.connection() as connection:
                await (migrator.migrate if is_ours_alone else migrator.check)(connection)
        yield database
