"""The embedded PostgreSQL as a real child process, on a disk of its own for each test."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from structlog.testing import capture_logs

from stackyn_server import config
from stackyn_server.pause import Pause
from stackyn_server.postgres import cluster, launch
from stackyn_server.postgres.binaries import EmbeddedFailed
from stackyn_server.postgres.embedded import EmbeddedPostgres, embedded_url, is_running
from stackyn_server.store.database import Database
from stackyn_server.store.failures import DatabaseUnavailable
from tests.patience import within

SETTINGS = config.DatabaseSettings()
AS_ROOT = os.geteuid() == 0
# Starts the embedded database in a process of its own, tells its address, and waits to be killed.
SERVER = """
import asyncio, logging, sys, structlog
from pathlib import Path
from stackyn_server import config
from stackyn_server.postgres.embedded import EmbeddedPostgres
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
async def main():
    postgres = EmbeddedPostgres(Path(sys.argv[1]), config.DatabaseSettings())
    await postgres.start()
    print(postgres.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""

# Four first starts at once, on a machine (a copy of /etc that only they see) that has no such user.
FIRST_STARTS = f"""
set -e
cp -a /etc "$2"
mount --bind "$2" /etc
sed -i "/^{cluster.SYSTEM_USER}:/d" /etc/passwd /etc/group /etc/shadow /etc/gshadow
for start in 1 2 3 4; do
  "$1" -c "
import os
from pathlib import Path
from stackyn_server.pause import Pause
from stackyn_server.postgres import cluster
uid = cluster.user_of(cluster.paths_of(Path('/nonexistent'))).uid
os.write(1, b'%d\\n' % uid)  # in one piece: print writes its line's end apart" &
done
wait
id -u {cluster.SYSTEM_USER}
"""


@pytest.fixture
async def postgres(cluster_dir: Path) -> AsyncIterator[EmbeddedPostgres]:
    postgres = EmbeddedPostgres(cluster_dir, SETTINGS)
    yield postgres
    await postgres.stop()


async def ask(url: str, question: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


async def test_the_first_start_makes_a_cluster_behind_a_socket(
    postgres: EmbeddedPostgres, cluster_dir: Path
) -> None:
    url = await postgres.start()
    assert url == embedded_url(cluster_dir)
    assert await ask(url, "SELECT current_user || ' ' || current_database()") == "stackyn stackyn"
    assert await ask(url, "SHOW listen_addresses") == ""
    assert await ask(url, "SHOW data_checksums") == "on"
    assert await ask(url, "SELECT datcollate FROM pg_database WHERE datname = 'stackyn'") == "C"


async def test_the_first_start_takes_longer_than_a_statement_may(cluster_dir: Path) -> None:
    postgres = EmbeddedPostgres(cluster_dir, config.DatabaseSettings(statement_seconds=0.001))
    try:
        url = await postgres.start()
        assert await ask(url, "SELECT current_database()") == cluster.DATABASE
    finally:
        await postgres.stop()


async def test_what_was_written_is_there_after_a_stop_and_a_start(postgres: EmbeddedPostgres) -> None:
    url = await postgres.start()
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE kept (id int); INSERT INTO kept VALUES (7)")
    await connection.close()
    await postgres.stop()
    assert postgres.exited.is_set()
    with capture_logs() as log:
        await postgres.start()
    assert await ask(url, "SELECT id FROM kept") == 7
    assert not needed_recovery(log)


@pytest.mark.skipif(not AS_ROOT, reason="only root starts it as another user")
async def test_root_starts_it_as_a_user_that_owns_nothing_else(
    postgres: EmbeddedPostgres, cluster_dir: Path
) -> None:
    await postgres.start()
    where = cluster.paths_of(cluster_dir)
    who = await asyncio.to_thread(cluster.user_of, where)
    assert who.name == cluster.SYSTEM_USER and who.uid != 0
    assert process_owner(postgres.pid) == who.uid
    for folder in (where.data, where.socket):
        assert (folder.stat().st_uid, folder.stat().st_mode & 0o777) == (who.uid, 0o700)
    assert where.access.stat().st_uid == 0


@pytest.mark.skipif(not AS_ROOT, reason="only root can try as somebody else")
@pytest.mark.parametrize("user", [cluster.SYSTEM_USER, "nobody"])
async def test_no_other_user_may_sign_in(postgres: EmbeddedPostgres, cluster_dir: Path, user: str) -> None:
    url = await postgres.start()
    where = cluster.paths_of(cluster_dir)
    psql = next(where.root.glob("programs-*/*/*/bin/psql"))
    command = ["setpriv", f"--reuid={user}", "--clear-groups", str(psql), url, "-c", "SELECT 1"]
    attempt = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, cwd="/")
    assert attempt.returncode == 2
    assert (
        "Peer authentication failed" if user == cluster.SYSTEM_USER else "Permission denied"
    ) in attempt.stderr


@pytest.mark.skipif(not AS_ROOT, reason="only root makes the user")
async def test_first_starts_at_once_make_one_user(tmp_path: Path) -> None:
    command = ["unshare", "--mount", "sh", "-c", FIRST_STARTS, "sh", sys.executable, str(tmp_path / "etc")]
    starts = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    uids = starts.stdout.split()
    assert len(uids) == 5 and len(set(uids)) == 1, "who made a cluster for one number must find it again"


async def start_server(cluster_dir: Path) -> tuple[asyncio.subprocess.Process, int]:
    """Return a process that has started PostgreSQL, and the process id of PostgreSQL."""
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, str(cluster_dir), stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    return server, int(await server.stdout.readline())


async def kill_server(cluster_dir: Path) -> float:
    """Kill a server, and return the seconds until its PostgreSQL was gone."""
    server, pid = await start_server(cluster_dir)
    watch = os.pidfd_open(pid)
    server.kill()
    await server.wait()
    killed_at = time.monotonic()
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(watch, gone.set)
    async with within(10):
        await gone.wait()
    seconds = time.monotonic() - killed_at
    asyncio.get_running_loop().remove_reader(watch)
    os.close(watch)
    return seconds


async def test_postgres_shuts_down_cleanly_with_a_killed_server(cluster_dir: Path) -> None:
    """`tests/bench/postgres` asserts the second in which it does."""
    await kill_server(cluster_dir)

    postgres = EmbeddedPostgres(cluster_dir, SETTINGS)
    with capture_logs() as log:
        await postgres.start()
    assert not needed_recovery(log)
    await postgres.stop()


async def test_a_start_right_after_the_kill_waits_for_the_left_over(cluster_dir: Path) -> None:
    server, pid = await start_server(cluster_dir)
    os.kill(pid, signal.SIGSTOP)  # its shutdown can't finish before we let it
    server.kill()
    await server.wait()
    postgres = EmbeddedPostgres(cluster_dir, SETTINGS)
    starting = asyncio.create_task(postgres.start())
    done, _ = await asyncio.wait([starting], timeout=0.3)
    assert not done
    os.kill(pid, signal.SIGCONT)
    assert await ask(await starting, "SELECT 1") == 1
    await postgres.stop()


async def test_a_killed_postgres_is_noticed_and_started_again(postgres: EmbeddedPostgres) -> None:
    url = await postgres.start()
    database = await Database.open(url, SETTINGS, application_name="survivor")
    async with database.transaction() as connection:
        await connection.execute("CREATE TABLE kept (id int); INSERT INTO kept VALUES (7)")
    supervisor = asyncio.create_task(postgres.keep_running())
    first = postgres.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    async with within(10):
        await postgres.exited.wait()
        await postgres.ready.wait()
    assert postgres.pid != first
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT id FROM kept") == 7
    await database.close()
    await postgres.stop()
    await supervisor


async def test_a_pool_opened_before_the_database_works_later(
    postgres: EmbeddedPostgres, cluster_dir: Path
) -> None:
    database = await Database.open(embedded_url(cluster_dir), SETTINGS, application_name="early")
    with pytest.raises(DatabaseUnavailable):
        async with database.connection():
            pass
    await postgres.start()
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT 1") == 1
    await database.close()


async def test_a_restart_that_fails_is_tried_again(cluster_dir: Path) -> None:
    extra: dict[str, str] = {}
    postgres = EmbeddedPostgres(cluster_dir, SETTINGS, extra=extra, pause=Pause(0.01, 0.01))
    await postgres.start()
    extra["shared_buffers"] = "nonsense"
    supervisor = asyncio.create_task(postgres.keep_running())
    with capture_logs() as log:
        os.kill(postgres.pid or 0, signal.SIGKILL)
        async with within(10):
            await postgres.exited.wait()
            await once_logged(log, "postgres.restart_failed")
            extra.clear()
            await postgres.ready.wait()
    await postgres.stop()
    await supervisor


async def test_a_second_start_of_the_same_folder_is_refused(
    postgres: EmbeddedPostgres, cluster_dir: Path
) -> None:
    assert not await asyncio.to_thread(is_running, cluster_dir)
    await postgres.start()
    assert await asyncio.to_thread(is_running, cluster_dir)
    with pytest.raises(EmbeddedFailed, match="Another process still runs"):
        await EmbeddedPostgres(cluster_dir, SETTINGS, left_over_seconds=0.1).start()
    await postgres.stop()
    assert not await asyncio.to_thread(is_running, cluster_dir)


async def test_a_pid_file_with_a_reused_pid_is_ignored(postgres: EmbeddedPostgres, cluster_dir: Path) -> None:
    await postgres.start()
    await postgres.stop()
    pid_file = cluster.paths_of(cluster_dir).data / "postmaster.pid"
    pid_file.write_text(f"1\n{pid_file.parent}\n1700000000\n5432\n\n\n")
    assert await ask(await postgres.start(), "SELECT 1") == 1


async def test_a_path_too_long_for_a_socket_gets_a_short_one(cluster_dir: Path) -> None:
    deep = cluster_dir / ("long" * 25)
    postgres = EmbeddedPostgres(deep, SETTINGS)
    try:
        assert await ask(await postgres.start(), "SELECT 1") == 1
        assert not cluster.paths_of(deep).socket.is_relative_to(deep)
    finally:
        await postgres.stop()
        cluster.paths_of(deep).socket.rmdir()


async def test_a_cluster_of_another_major_version_is_refused(
    postgres: EmbeddedPostgres, cluster_dir: Path
) -> None:
    await postgres.start()
    await postgres.stop()
    (cluster.paths_of(cluster_dir).data / "PG_VERSION").write_text("17\n")
    with pytest.raises(
        EmbeddedFailed, match=r"made by PostgreSQL 17, and the programs here are PostgreSQL 18"
    ):
        await postgres.start()


async def test_an_interrupted_first_start_leaves_nothing_in_the_way(
    postgres: EmbeddedPostgres, cluster_dir: Path
) -> None:
    half_made = cluster_dir / "postgres" / "data.new"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    assert await ask(await postgres.start(), "SELECT 1") == 1


@pytest.mark.skipif(not AS_ROOT, reason="without root the database runs as ourselves")
async def test_a_cluster_directory_below_a_closed_folder_says_which(cluster_dir: Path) -> None:
    closed = cluster_dir / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(EmbeddedFailed, match="closed to it") as raised:
        await EmbeddedPostgres(closed / "inner", SETTINGS).start()
    assert raised.value.hint.endswith(f"chmod o+x {closed}")


async def test_a_folder_without_programs_is_refused(cluster_dir: Path) -> None:
    settings = config.DatabaseSettings(binaries=str(cluster_dir))
    with pytest.raises(EmbeddedFailed, match=r"\[database\] binaries"):
        await EmbeddedPostgres(cluster_dir, settings).start()


async def test_a_refused_setting_fails_the_start_and_is_logged(
    cluster_dir: Path,
) -> None:
    postgres = EmbeddedPostgres(cluster_dir, SETTINGS, extra={"shared_buffers": "nonsense"})
    with capture_logs() as log, pytest.raises(EmbeddedFailed, match="doesn't start"):
        await postgres.start()
    failed = [entry for entry in log if entry["event"] == "postgres.start_failed"]
    assert "shared_buffers" in str(failed[0]["last_lines"])


def test_the_launcher_gives_up_when_its_parent_is_gone_already() -> None:
    stranger = "1"
    command = [
        sys.executable,
        "-I",
        "-S",
        launch.__file__,
        str(os.geteuid()),
        "0",
        "2",
        stranger,
        "/",
        "/bin/true",
    ]
    attempt = subprocess.run(command, capture_output=True, text=True)
    assert (attempt.returncode, attempt.stderr) == (1, "the parent is gone already\n")


async def once_logged(log: list[dict[str, object]], event: str) -> None:
    while event not in [entry["event"] for entry in log]:  # noqa: ASYNC110 - a log announces nothing
        await asyncio.sleep(0)


def needed_recovery(log: list[dict[str, object]]) -> bool:
    lines = [str(entry.get("line")) for entry in log]
    assert any("ready to accept connections" in line for line in lines), lines
    return any("not properly shut down" in line for line in lines)


def process_owner(pid: int | None) -> int:
    return Path(f"/proc/{pid}").stat().st_uid
