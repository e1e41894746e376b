"""Fixtures for everybody: a real PostgreSQL, a fresh database for each test, and a detector of blocking calls."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
import pytest
from blockbuster import BlockBuster
from hypothesis import settings

from stackyn_server import config
from stackyn_server.postgres.embedded import EmbeddedPostgres
from stackyn_server.store.database import Database
from stackyn_server.store.migrator import migrate
from tests.hostile.attempts import PROPERTY, Tried, table
from tests.patience import patient

TEMPLATE = "stackyn_template"
ROOM_FOR_CLUSTER_BYTES = 1_000_000_000
# A cluster that is thrown away needs no durability.
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}

# Each test has its time limit; a single example may be slow on a busy machine.
settings.register_profile("stackyn", deadline=None)
settings.load_profile("stackyn")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the time that this machine needs, unless the command line gives one to all."""
    for item in items:
        if item.config.getoption("timeout") is None:
            chosen = item.get_closest_marker("timeout")
            usual = chosen.args[0] if chosen else float(item.config.getini("timeout"))
            item.add_marker(pytest.mark.timeout(patient(usual)), append=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of the attacks that were tried."""
    passed = terminalreporter.getreports("passed")
    tried = [Tried(*value) for report in passed for name, value in report.user_properties if name == PROPERTY]
    if tried:
        terminalreporter.section(f"{len(tried)} attempts of attackers")
        for line in table(tried):
            terminalreporter.write_line(line)


@pytest.fixture(scope="session", autouse=True)
def blocking_calls_fail() -> Iterator[None]:
    """A call from our package that blocks the event loop raises `blockbuster.BlockingError`."""
    detector = BlockBuster(scanned_modules=["stackyn_server"])
    for name in ("os.stat", "io.TextIOWrapper.read"):  # asyncpg looks for ~/.pgpass
        detector.functions[name].can_block_in("asyncpg/connect_utils.py", "_read_password_file")
    for name in ("os.stat", "io.BufferedReader.read", "io.TextIOWrapper.read"):
        # A logged traceback shows its lines: the server's way, and the console's in tests.
        detector.functions[name].can_block_in("linecache.py", {"checkcache", "updatecache"})
        detector.functions[name].can_block_in("structlog/dev.py", {"__call__"})
    detector.activate()
    yield
    detector.deactivate()


@pytest.fixture(scope="session")
async def postgres_url() -> AsyncIterator[str]:
    """The address of one embedded cluster for this run; the database in it is empty."""
    with _folder_in_memory() as folder:
        postgres = EmbeddedPostgres(folder, config.DatabaseSettings(), extra=NOT_DURABLE)
        try:
            yield await postgres.start()
        finally:
            await postgres.stop()


@pytest.fixture
def cluster_dir() -> Iterator[Path]:
    """A data directory for an embedded PostgreSQL of this test's own. pytest's `tmp_path` is closed to other users."""
    with _folder_in_memory() as folder:
        yield folder


@pytest.fixture(scope="session")
async def template_database(postgres_url: str) -> str:
    """The name of a database in which all migrations are applied, to be copied."""
    await _execute(postgres_url, f'CREATE DATABASE "{TEMPLATE}"')
    connection = await asyncpg.connect(url_of(postgres_url, TEMPLATE))
    try:
        await migrate(connection)
    finally:
        await connection.close()
    return TEMPLATE


@asynccontextmanager
async def fresh_database(postgres_url: str, template_database: str) -> AsyncIterator[str]:
    """The address of a migrated database, dropped at the end of the block."""
    name = f"test_{uuid.uuid4().hex}"
    await _execute(
        postgres_url, f'CREATE DATABASE "{name}" TEMPLATE "{template_database}" STRATEGY FILE_COPY'
    )
    yield url_of(postgres_url, name)
    await _execute(postgres_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def database_url(postgres_url: str, template_database: str) -> AsyncIterator[str]:
    """The address of a fresh, migrated database, dropped after the test."""
    async with fresh_database(postgres_url, template_database) as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open `Database` on a fresh, migrated database."""
    database = await Database.open(database_url, config.DatabaseSettings(), application_name="stackyn test")
    yield database
    await database.close()


@pytest.fixture
def settings(tmp_path: Path) -> config.Settings:
    """The shipped defaults over an empty data directory of this test."""
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    return config.Settings(server=config.ServerSettings(data_dir=data_dir))


def url_of(cluster_url: str, name: str) -> str:
    """The address of another database of the same cluster."""
    before, _, host = cluster_url.partition("?")
    return f"{before.rpartition('/')[0]}/{name}?{host}"


@contextmanager
def _folder_in_memory() -> Iterator[Path]:
    """In memory, copying a database takes 11 ms instead of 300; on the disk when memory has no room for it."""
    memory = "/dev/shm"
    has_room = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM_FOR_CLUSTER_BYTES
    folder = Path(tempfile.mkdtemp(prefix="stackyn-test-", dir=memory if has_room else None))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
