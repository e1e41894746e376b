"""One server for each data directory: who comes second is told who is there, or takes over."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from stackyn_server.domain.jobs import JobState, Kind
from stackyn_server.jobs.data_directory import AlreadyRunning, DataDirectory
from stackyn_server.store.database import Database
from tests.integration.jobs.builders import put, until_state
from tests.integration.jobs.process import server


async def test_a_second_server_is_refused_and_told_who_is_there(database_url: str, tmp_path: Path) -> None:
    async with server(database_url, tmp_path) as first:
        await first.wait_for_line("leads 1")
        async with server(database_url, tmp_path) as second:
            assert await second.code() == AlreadyRunning.exit_code
            complaint = await second.complaint()
    assert f"process {first.process.pid}, since 20" in complaint and "--take-over" in complaint


async def test_take_over_ends_a_holder_that_is_frozen(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with server(database_url, tmp_path) as first:
        await first.wait_for_line("leads 1")
        first.send(signal.SIGSTOP)
        await first.stopped()
        async with server(database_url, tmp_path, "--take-over") as second:
            await second.wait_for_line("leads 2")
            assert await first.code() == -signal.SIGKILL
            job = await put(database, Kind.MAIL, "letter")
            await until_state(database, job, JobState.DONE)


async def test_take_over_lets_a_living_holder_stop_in_order(database_url: str, tmp_path: Path) -> None:
    async with server(database_url, tmp_path) as first:
        await first.wait_for_line("leads 1")
        async with server(database_url, tmp_path, "--take-over") as second:
            await first.wait_for_line("stopped")
            assert await first.code() == 0
            await second.wait_for_line("leads 2")


async def test_take_over_spares_a_process_that_reuses_the_pid(database_url: str, tmp_path: Path) -> None:
    """The lock is held, but the file names a process that started at another time: nobody is ended on a guess."""
    async with server(database_url, tmp_path) as first:
        await first.wait_for_line("leads 1")
        file = tmp_path / "lock"
        holder = json.loads(file.read_text())
        assert holder["pid"] == first.process.pid
        file.write_text(json.dumps({**holder, "start_ticks": holder["start_ticks"] - 1}))
        with pytest.raises(AlreadyRunning):
            await DataDirectory.acquire(tmp_path, take_over=True, take_over_seconds=1)
        assert first.process.returncode is None


async def test_the_lock_ends_with_its_holder(tmp_path: Path) -> None:
    (await DataDirectory.acquire(tmp_path)).release()
    (await DataDirectory.acquire(tmp_path)).release()


async def test_the_identity_belongs_to_the_data_directory(tmp_path: Path) -> None:
    identities = []
    for name in ("one", "one", "other"):
        directory = await DataDirectory.acquire(tmp_path / name)
        identities.append(directory.identity)
        directory.release()
    assert identities[0] == identities[1] != identities[2]


async def test_nobody_else_lists_the_data_directory(tmp_path: Path) -> None:
    """The database's user goes through it, so it stays searchable."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)  # as an earlier release made it

    (await DataDirectory.acquire(folder)).release()

    assert folder.stat().st_mode & 0o777 == 0o711
