"""Migrations against a real, empty database."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest

from stackyn_server import config
from stackyn_server.store import migrator
from stackyn_server.store.database import Database
from stackyn_server.store.migrator import Migration, MigrationFailed, migrate

SHIPPED = [migration.name for migration in migrator.shipped()]
FIRST = Migration("0001_first.sql", "CREATE TABLE first (id int); INSERT INTO first VALUES (1);")
SECOND = Migration("0002_second.sql", "CREATE TABLE second (id int);")
# Foreign keys without an index on their first column, of tables whose rows are deleted. A partial index counts where it
# leaves out nothing but nulls.
UNINDEXED = """
SELECT c.conrelid::regclass || '.' || a.attname FROM pg_constraint c
JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
WHERE c.contype = 'f' AND c.confrelid <> 'account'::regclass AND NOT EXISTS (
    SELECT FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indkey[0] = a.attnum
    AND (i.indpred IS NULL OR pg_get_expr(i.indpred, i.indrelid) = format('(%I IS NOT NULL)', a.attname)))
ORDER BY 1
"""
BROKEN = Migration("0002_broken.sql", "CREATE TABLE half (id int); SELECT nothing FROM nowhere;")


@pytest.fixture
async def empty_url(postgres_url: str) -> AsyncIterator[str]:
    name = f"empty_{uuid.uuid4().hex}"
    admin = await asyncpg.connect(postgres_url)
    await admin.execute(f'CREATE DATABASE "{name}"')
    before, _, host = postgres_url.partition("?")
    yield f"{before.rpartition('/')[0]}/{name}?{host}"
    await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await admin.close()


@pytest.fixture
async def empty(empty_url: str) -> AsyncIterator[Database]:
    database = await Database.open(empty_url, config.DatabaseSettings(), application_name="migrator test")
    yield database
    await database.close()


async def test_missing_migrations_are_applied_in_order_and_only_once(empty: Database) -> None:
    async with empty.connection() as connection:
        assert await migrate(connection, [FIRST]) == ["0001_first.sql"]
        assert await migrate(connection, [FIRST, SECOND]) == ["0002_second.sql"]
        assert await migrate(connection, [FIRST, SECOND]) == []
        assert await connection.fetchval("SELECT count(*) FROM first") == 1


async def test_five_concurrent_starts_apply_each_migration_once(empty: Database) -> None:
    async def start() -> list[str]:
        async with empty.connection() as connection:
            return await migrate(connection, [FIRST, SECOND])

    applied = await asyncio.gather(*(start() for _ in range(5)))
    assert sorted(name for names in applied for name in names) == [FIRST.name, SECOND.name]
    async with empty.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM first") == 1


async def test_a_failing_migration_leaves_only_earlier_ones(empty: Database) -> None:
    async with empty.connection() as connection:
        with pytest.raises(MigrationFailed, match=r"0002_broken\.sql failed; nothing of it was kept"):
            await migrate(connection, [FIRST, BROKEN])
        assert await connection.fetchval("SELECT to_regclass('half')") is None
        assert await connection.fetchval("SELECT to_regclass('first')") == "first"
        assert await migrate(connection, [FIRST, SECOND]) == [SECOND.name]


async def test_an_edited_file_is_detected(empty: Database) -> None:
    edited = Migration(FIRST.name, FIRST.sql + " -- tidied")
    async with empty.connection() as connection:
        await migrate(connection, [FIRST])
        with pytest.raises(MigrationFailed, match=r"0001_first\.sql was edited"):
            await migrate(connection, [edited, SECOND])
        assert await connection.fetchval("SELECT to_regclass('second')") is None


async def test_a_file_whose_comment_was_reworded_counts_as_applied(empty: Database) -> None:
    """`git show 95664e0:stackyn_server/store/migrations/0001_first.sql | sha256sum`"""
    before = "0ab531fd5e691e52781994300a928e85f15e20982ddcb98b68525c3671ce27ff"
    async with empty.connection() as connection:
        await migrate(connection)
        await connection.execute("UPDATE migration SET checksum = $1 WHERE name LIKE '0001%'", before)
        assert await migrate(connection) == []


async def test_a_database_ahead_of_the_code_is_refused(empty: Database) -> None:
    async with empty.connection() as connection:
        await migrate(connection, [FIRST, SECOND])
        with pytest.raises(MigrationFailed, match="newer release"):
            await migrate(connection, [FIRST])


async def test_a_migration_below_the_applied_ones_is_refused(empty: Database) -> None:
    async with empty.connection() as connection:
        await migrate(connection, [SECOND])
        with pytest.raises(MigrationFailed, match=r"0001_first\.sql is older than 0002_second\.sql"):
            await migrate(connection, [FIRST, SECOND])


async def test_a_migration_may_take_longer_than_a_statement(empty_url: str) -> None:
    slow = Migration("0001_slow.sql", "SELECT pg_sleep(0.4);")
    impatient = config.DatabaseSettings(statement_seconds=0.1)
    database = await Database.open(empty_url, impatient, application_name="migrator test")
    async with database.connection() as connection:
        assert await migrate(connection, [slow]) == [slow.name]
    await database.close()


def test_what_is_shipped_is_numbered_without_gaps() -> None:
    numbers = [int(name.partition("_")[0]) for name in SHIPPED]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_what_is_shipped_applies_to_an_empty_database(empty: Database) -> None:
    async with empty.connection() as connection:
        assert await migrate(connection) == SHIPPED
        assert await connection.fetchval("SELECT count(*) FROM installation") == 1


async def test_no_deletion_reads_a_whole_table_for_what_refers_to_it(empty: Database) -> None:
    async with empty.connection() as connection:
        await migrate(connection)
        columns = [row[0] for row in await connection.fetch(UNINDEXED)]
    # Ended jobs go after days, and every claim would pay for the index.
    assert columns == ["job.app"]
