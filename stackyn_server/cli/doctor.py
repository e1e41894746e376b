"""`stackyn doctor`: checks what a server needs of its machine, and changes nothing."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from stackyn_server.cli.cookies import check_cookies
from stackyn_server.cli.findings import Finding, Severity
from stackyn_server.cli.kernel_limits import check_kernel_limits
from stackyn_server.cli.ports import check_ports
from stackyn_server.config import Settings
from stackyn_server.engine import images
from stackyn_server.engine.builder.builder_check import BuilderCheck, check_builder
from stackyn_server.engine.builder.registry_availability import RegistryAvailability
from stackyn_server.engine.client import Engine
from stackyn_server.errors import StackynError
from stackyn_server.images.image_maker import ImageMaker
from stackyn_server.images.steps import TerminalSteps
from stackyn_server.ingress.binary import locate
from stackyn_server.postgres import binaries, cluster
from stackyn_server.postgres.embedded import is_running
from stackyn_server.store.database import Database

_OLDEST_GIT = (2, 37)  # the first whose http.curloptResolve pins an address
_OLDEST_POSTGRES = 15
_GIB = 1024**3
_SCARCE_DISK_BYTES = 5 * _GIB
_LEAST_DISK_BYTES = 1 * _GIB
_SCARCE_MEMORY_BYTES = 1 * _GIB


async def examine(settings: Settings) -> list[Finding]:
    """Run every check. A `StackynError` of a check becomes its finding, and the other checks still run."""
    checks: list[tuple[str, Callable[[Settings], Awaitable[list[Finding]]]]] = [
        ("data directory", _data_directory),
        ("git", _git),
        ("database", _database),
        ("engine", _engine),
        ("ingress", _ingress),
        ("ports", check_ports),
        ("names", _names),
        ("cookies", _cookies),
        ("kernel limits", _kernel_limits),
    ]
    findings: list[Finding] = []
    for subject, check in checks:
        try:
            findings += await check(settings)
        except StackynError as error:
            findings.append(Finding(subject, Severity.PROBLEM, error.message, error.hint))
    return findings


async def _cookies(settings: Settings) -> list[Finding]:
    return await asyncio.to_thread(check_cookies, settings.public)


async def _kernel_limits(_: Settings) -> list[Finding]:
    return await asyncio.to_thread(check_kernel_limits)


async def _data_directory(settings: Settings) -> list[Finding]:
    return await asyncio.to_thread(_check_data_directory, settings.server.data_dir)


def _check_data_directory(folder: Path) -> list[Finding]:
    subject = "data directory"
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        hint = "Choose another [server] data_dir, or let the server's user write there."
        return [Finding(subject, Severity.PROBLEM, f"{existing} can't be written.", hint)]
    free = shutil.disk_usage(existing).free
    sentence = f"{folder} has {free / _GIB:.1f} GiB free."
    if free >= _SCARCE_DISK_BYTES:
        return [Finding(subject, Severity.FINE, sentence)]
    severity = Severity.WARNING if free >= _LEAST_DISK_BYTES else Severity.PROBLEM
    return [Finding(subject, severity, sentence, "Images and databases need room: free some.")]


async def _git(_: Settings) -> list[Finding]:
    try:
        process = await asyncio.create_subprocess_exec(
            "git", "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
    except OSError:
        return [Finding("git", Severity.PROBLEM, "git is not installed.", "Install it: apt install git")]
    output, _errors = await process.communicate()
    version = re.search(r"(\d+)\.(\d+)[.\d]*", output.decode(errors="replace"))
    if version is None or (int(version[1]), int(version[2])) < _OLDEST_GIT:
        installed = version[0] if version else "of an unknown version"
        hint = f"Install git {_OLDEST_GIT[0]}.{_OLDEST_GIT[1]} or newer."
        return [Finding("git", Severity.PROBLEM, f"git {installed} is too old.", hint)]
    return [Finding("git", Severity.FINE, f"git {version[0]}.")]


async def _database(settings: Settings) -> list[Finding]:
    if not settings.database.url:
        return await asyncio.to_thread(_check_embedded, settings)
    database = await Database.open(
        settings.database.url, settings.database, application_name="stackyn doctor"
    )
    try:
        async with database.connection() as connection:
            version = int(await connection.fetchval("SHOW server_version_num")) // 10_000
    finally:
        await database.close()
    if version < _OLDEST_POSTGRES:
        hint = f"Use PostgreSQL {_OLDEST_POSTGRES} or newer."
        return [Finding("database", Severity.PROBLEM, f"PostgreSQL {version} is too old.", hint)]
    return [Finding("database", Severity.FINE, f"PostgreSQL {version} answers.")]


def _check_embedded(settings: Settings) -> list[Finding]:
    where = cluster.paths_of(settings.server.data_dir)
    if is_running(settings.server.data_dir):
        return [Finding("database", Severity.FINE, "The embedded PostgreSQL runs.")]
    programs = binaries.examine(settings.database.binaries)
    cluster.check_startable(where, programs)
    return [Finding("database", Severity.FINE, f"The embedded PostgreSQL {programs.major} can be started.")]


async def _engine(settings: Settings) -> list[Finding]:
    async with Engine(settings.engine, settings.network, "doctor") as engine:
        facts = engine.facts
        sentence = f"Docker {facts.version}, {facts.memory_bytes / _GIB:.1f} GiB of memory."
        has_memory = facts.memory_bytes >= _SCARCE_MEMORY_BYTES
        findings = [Finding("engine", Severity.FINE if has_memory else Severity.WARNING, sentence)]
        missing = await ImageMaker(engine, settings, TerminalSteps()).missing()
        if missing:
            what = f"Missing, or made by another release: {', '.join(missing)}."
            findings.append(Finding("images", Severity.WARNING, what, "Make them: scripts/base-images"))
        else:
            findings.append(Finding("images", Severity.FINE, "The builder and all base images are here."))
        findings.append(await _source_of_images(settings))
        if await images.inspect(engine, settings.images.builder) is not None:
            findings.append(_builder_finding(await check_builder(engine, settings)))
    return findings


async def _source_of_images(settings: Settings) -> Finding:
    if await RegistryAvailability(settings).is_reachable():
        sentence = "Versions of languages come from the official images of an image registry."
    else:
        sentence = "Versions of languages come from packages, without an image registry."
    return Finding(
        "image source", Severity.FINE, f"{sentence} ([images] source is {settings.images.source}.)"
    )


def _builder_finding(trial: BuilderCheck) -> Finding:
    if trial.reason:
        return Finding("builder", Severity.PROBLEM, f"No build can run here: {trial.reason}", trial.hint)
    if not trial.has_overlay:
        hint = "It needs an overlay file system without root: Linux 5.11 or newer."
        return Finding(
            "builder", Severity.WARNING, "Builds run here, but copy all layers at each step.", hint
        )
    return Finding("builder", Severity.FINE, f"A sealed build was tried, and ran ({trial.seconds:.1f} s).")


async def _ingress(settings: Settings) -> list[Finding]:
    ingress = settings.ingress
    if ingress.provider == "none":
        return [Finding("ingress", Severity.FINE, "None: you run a proxy of your own.")]
    if not ingress.managed:
        return await asyncio.to_thread(_check_route_directory, ingress.directory)
    if ingress.image:
        return [Finding("ingress", Severity.FINE, f"Traefik from the image {ingress.image}.")]
    path, _digest = await asyncio.to_thread(locate, ingress.binary)
    return [Finding("ingress", Severity.FINE, f"Traefik from {path}.")]


def _check_route_directory(directory: str) -> list[Finding]:
    if directory and os.path.isdir(directory) and os.access(directory, os.W_OK):
        return [Finding("ingress", Severity.FINE, f"Routes are written to {directory}.")]
    hint = "Set [ingress] directory to the folder that your Traefik's file provider watches."
    return [Finding("ingress", Severity.PROBLEM, "The folder for your Traefik can't be written.", hint)]


async def _names(settings: Settings) -> list[Finding]:
    if settings.public.is_local:
        return [Finding("names", Severity.FINE, f"{settings.public.base_domain} stays on this machine.")]
    name = f"stackyn-doctor.{settings.public.base_domain}"
    try:
        addresses = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        hint = f"Let *.{settings.public.base_domain} point to this server in the DNS."
        return [Finding("names", Severity.WARNING, f"{name} has no address.", hint)]
    return [
        Finding("names", Severity.FINE, f"*.{settings.public.base_domain} points to {addresses[0][4][0]}.")
    ]
