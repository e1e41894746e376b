"""`stackyn images`: makes and lists the base images and the builder image."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from stackyn_server import config_file, telemetry
from stackyn_server.cli.options import ConfigPath, default_config, failures_printed
from stackyn_server.engine.client import Engine
from stackyn_server.images.base_image_build import ImageNotMade
from stackyn_server.images.base_image_store import BaseImageStore
from stackyn_server.images.image_maker import ImageMaker
from stackyn_server.images.recipes import INITIAL_IMAGES
from stackyn_server.images.steps import TerminalSteps
from stackyn_server.security.redaction import redact_event

app = typer.Typer(help="The images that builds start from and run in.", no_args_is_help=True)

Names = Annotated[
    list[str] | None, typer.Argument(help="Images, as in stackyn/go:1.25. Default: the first ones.")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Also what is here, with today's packages.")]
Local = Annotated[bool, typer.Option("--local", help="Do not ask an image registry.")]
Missing = Annotated[bool, typer.Option("--missing", help="Those that `make` would make, and nothing else.")]
INSTALLATION = "images"


@app.command("list")
def list_(
    names: Names = None, missing: Missing = False, fresh: Fresh = False, config_path: ConfigPath = None
) -> None:
    """List the images that are here, with their digests."""
    settings = config_file.load(config_path or default_config())
    if not missing:
        for entry in BaseImageStore(settings.images.directory).entries().values():
            typer.echo(f"{entry.name} {entry.digest}")
        return

    async def look() -> list[str]:
        async with Engine(settings.engine, settings.network, INSTALLATION) as engine:
            return await ImageMaker(engine, settings, TerminalSteps(), is_fresh=fresh).missing(
                names or INITIAL_IMAGES
            )

    for name in asyncio.run(look()):
        typer.echo(name)


@app.command()
def make(
    names: Names = None, fresh: Fresh = False, local: Local = False, config_path: ConfigPath = None
) -> None:
    """Make what is missing, or was made from other recipes, certificates or settings.

    Images that were made for deployments are forgotten then, and made again when one needs them.
    """
    settings = config_file.load(config_path or default_config())
    if local:
        settings = settings.model_copy(
            update={"images": settings.images.model_copy(update={"source": "local"})}
        )

    async def run() -> None:
        async with Engine(settings.engine, settings.network, INSTALLATION) as engine:
            maker = ImageMaker(engine, settings, TerminalSteps(), is_fresh=fresh)
            await maker.make(names or INITIAL_IMAGES)
            if not names:
                await maker.forget_outdated()

    try:
        asyncio.run(run())
    except ImageNotMade as error:
        typer.echo(error.notes, err=True)
        raise


@app.command()
def prune(config_path: ConfigPath = None) -> None:
    """Remove what no image has needed for a day."""
    settings = config_file.load(config_path or default_config())
    freed = BaseImageStore(settings.images.directory).prune()
    typer.echo(f"{freed / 1024**2:.0f} MiB freed.")


# For scripts/base-images: the imports of the whole `stackyn` command would take longer than the answer.
if __name__ == "__main__":
    telemetry.configure("warning", redaction=[redact_event])
    with failures_printed():
        app()
