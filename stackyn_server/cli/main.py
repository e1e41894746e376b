"""The commands of `stackyn`, and the groups `admin`, `images`, `keys` and `config`."""

from __future__ import annotations

import asyncio
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from stackyn_server import config_file, server, telemetry
from stackyn_server.cli import admin, detect, doctor, images, keys
from stackyn_server.cli.findings import Severity
from stackyn_server.cli.options import ConfigPath, default_config, failures_printed, open_database
from stackyn_server.engine.builder.registry_availability import RegistryAvailability
from stackyn_server.security.redaction import redact_event
from stackyn_server.store.migrator import migrate as apply_migrations

app = typer.Typer(
    name="stackyn",
    help="Git URL in, live URL out: builds, runs, routes and watches apps on this server.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they print local variables, which may be secrets
)
app.add_typer(admin.app, name="admin")
app.add_typer(images.app, name="images")
app.add_typer(keys.app, name="keys")
settings_commands = typer.Typer(help="The settings.", no_args_is_help=True)
app.add_typer(settings_commands, name="config")

TakeOver = Annotated[
    bool, typer.Option("--take-over", help="End another server that uses the same data directory first.")
]


def main() -> None:
    """Run the command line. A `StackynError` becomes a sentence on stderr and an exit code."""
    telemetry.configure("warning", redaction=[redact_event])
    with failures_printed():
        app()


@app.command()
def serve(config_path: ConfigPath = None, take_over: TakeOver = False) -> None:
    """Run the server until SIGTERM or Ctrl-C."""
    sys.exit(server.run(config_path or default_config(), take_over))


@app.command()
def migrate(config_path: ConfigPath = None) -> None:
    """Bring the database's tables up to this release. The server does the same when it starts."""

    async def run() -> list[str]:
        async with open_database(settings, migrated=False) as database, database.connection() as connection:
            return await apply_migrations(connection)

    settings = config_file.load(config_path or default_config())
    applied = asyncio.run(run())
    for name in applied:
        typer.echo(f"Applied {name}.")
    if not applied:
        typer.echo("The tables are up to date.")


@app.command(name="doctor")
def examine(config_path: ConfigPath = None) -> None:
    """Check that this machine has what the server needs, and say what is missing. Exit code 1: something is."""
    settings = config_file.load(config_path or default_config())
    findings = asyncio.run(doctor.examine(settings))
    for finding in findings:
        typer.echo(finding.as_text())
    if any(finding.severity is Severity.PROBLEM for finding in findings):
        raise typer.Exit(1)


@app.command(name="detect")
def detect_folder(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="The folder of a project.")],
    root_directory: Annotated[str | None, typer.Option(help="The app's root directory.")] = None,
    config_path: ConfigPath = None,
) -> None:
    """Print how this server would build a folder: the runtime, the reasons and the Dockerfile. Builds nothing."""
    settings = config_file.load(config_path or default_config())
    has_registry = asyncio.run(RegistryAvailability(settings).is_reachable())
    plan = detect.plan_folder(folder, settings, root_directory, has_registry=has_registry)
    for line in detect.explanation(plan):
        typer.echo(line)


@settings_commands.command()
def check(config_path: ConfigPath = None) -> None:
    """Read the settings as the server would. Exit code 78 and one line with file, line and reason if they are wrong."""
    path = config_path or default_config()
    config_file.load(path)
    typer.echo(f"{path} is fine." if path else "No config.toml: the defaults are used.")


@app.command()
def version() -> None:
    """Say which release this is."""
    release = metadata.version("stackyn-server")
    typer.echo(f"stackyn {release} (Python {platform.python_version()}, {platform.machine()})")
