"""Where an installation could leave something: its log, rows, files, caches, images, and this machine's own folders."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from tests.crash.audit import rows_of
from tests.server_process import ServerProcess, docker, images_of

LARGEST_FILE = 64 << 20
TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm", "/var/crash", "/var/lib/systemd/coredump")


async def places_of(
    server: ServerProcess, began: float, caches: set[str], marks: Collection[str]
) -> dict[str, str]:
    """The text of each place; of the many files of this machine, only those that have one of `marks`."""
    places = {}
    places["log of the server"] = await asyncio.to_thread(server.log_file.read_text, errors="replace")
    places["database"] = await _dump(server)
    folders = [("data directory", server.data_dir, 0.0)]
    folders += [("temporary file", Path(folder), began) for folder in TEMPORARY]
    for volume in caches:
        mounted = await docker("volume", "inspect", "-f", "{{.Mountpoint}}", volume)
        folders.append(("cache of builds", Path(mounted.strip()), 0.0))
    for kind, folder, newer_than in folders:
        files = await asyncio.to_thread(_marked, folder, newer_than, marks)
        places |= {f"{kind} {file}": text for file, text in files.items()}
    for image in await _images(server):
        places[f"image {image} history"] = await docker("history", "--no-trunc", image)
        places[f"image {image} configuration"] = await docker("inspect", image)
        places[f"image {image} layers"] = await _layers(image)
    return places


async def volumes() -> set[str]:
    return set((await docker("volume", "ls", "-q")).split())


async def _images(server: ServerProcess) -> set[str]:
    async with rows_of(server) as rows:
        apps = [int(row["id"]) for row in await rows.fetch("SELECT id FROM app")]
    return {image for app in apps for image in await images_of(server, app)}


async def _layers(image: str) -> str:
    with tempfile.NamedTemporaryFile(dir="/var/lib") as file:
        await docker("save", "-o", file.name, image)
        return await asyncio.to_thread(Path(file.name).read_text, "latin-1")


async def _dump(server: ServerProcess) -> str:
    """Every row of every table as text, as a dump has it."""
    async with rows_of(server) as rows:
        tables = await rows.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        texts = [
            row[0]
            for table in tables
            for row in await rows.fetch(f'SELECT t::text FROM "{table["tablename"]}" t')
        ]
    return "\n".join(texts)


def _files(folder: Path, newer_than: float) -> Iterator[tuple[str, str]]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not Path(parent, name).is_mount()]
        for name in names:
            file = Path(parent, name)
            try:
                status = file.lstat()
                if file.is_symlink() or not file.is_file() or status.st_mtime < newer_than:
                    continue
                if status.st_size <= LARGEST_FILE and name != "metrics-token":
                    yield str(file), file.read_text("latin-1")
            except OSError:
                continue  # somebody else's, and gone


def _marked(folder: Path, newer_than: float, marks: Collection[str]) -> dict[str, str]:
    return {name: text for name, text in _files(folder, newer_than) if any(mark in text for mark in marks)}


def text_below(folder: Path) -> str:
    return "".join(text for _, text in _files(folder, 0))
