"""`stackyn keys`: replaces the keys that this installation seals its secrets with."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from stackyn_server import config_file
from stackyn_server.cli.options import ConfigPath, default_config, open_database
from stackyn_server.config import Settings
from stackyn_server.errors import StackynError
from stackyn_server.jobs.data_directory import AlreadyRunning, DataDirectory
from stackyn_server.security.keys import replace_signing_key
from stackyn_server.services.key_rotation import KeyRotation, Rotation

app = typer.Typer(help="The keys of this installation.", no_args_is_help=True)

WithSessions = Annotated[
    bool,
    typer.Option("--sessions", help="Also the key that signs sessions: everybody has to sign in again."),
]


@app.callback()
def keys() -> None:
    """The keys of this installation: files below the data directory, which a backup of the database does not have."""


@app.command()
def rotate(sessions: WithSessions = False, config_path: ConfigPath = None) -> None:
    """Seal all variables, credentials and queued mails anew under a new key, and remove the old one.

    The server has to be stopped; apps go on serving. Interrupted, the same command goes on where it was. Keep the old
    key file with backups of the database that were made before.
    """
    settings = config_file.load(config_path or default_config())
    rotation = asyncio.run(_rotate(settings, with_sessions=sessions))
    if rotation.was_interrupted:
        typer.echo(f"Going on with the interrupted rotation to key {rotation.key}.")
    for place, count in rotation.sealed.items():
        typer.echo(f"Sealed anew: {count} {place}.")
    if rotation.broken:
        where = "; ".join(f"{place} {', '.join(map(str, ids))}" for place, ids in rotation.broken.items())
        raise StackynError(
            f"Some values can't be opened with any key, so the old keys stay: {where} (ids of rows).",
            hint="Restore their key files from a backup, or set these values again; then run the command again.",
        )
    removed = ", ".join(map(str, rotation.removed_keys)) or "none"
    typer.echo(f"Key {rotation.key} seals from now on. Removed keys: {removed}.")
    if sessions:
        typer.echo("All sessions have ended.")


async def _rotate(settings: Settings, *, with_sessions: bool) -> Rotation:
    try:
        directory = await DataDirectory.acquire(settings.server.data_dir)
    except AlreadyRunning as running:
        raise AlreadyRunning(
            running.message, hint="Stop it for the rotation: it would go on sealing with the old key."
        ) from running
    try:
        async with open_database(settings) as database:
            keys_directory = settings.server.data_dir / "keys"
            rotation = await KeyRotation(database, keys_directory).run()
            if with_sessions and not rotation.broken:
                await asyncio.to_thread(replace_signing_key, keys_directory)
        return rotation
    finally:
        directory.release()
