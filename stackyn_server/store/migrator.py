"""Brings a database's tables up to this release: numbered SQL files, each applied once, in one transaction."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from stackyn_server.errors import StackynError
from stackyn_server.store.database import Connection
from stackyn_server.store.failures import StatementRefused, translated
from stackyn_server.store.queries import load

_SQL = load("migrator")
_LOCK_KEY = 7_382_160_541  # of an advisory lock; no other one in this database has this number
_FILE_SECONDS = 3600.0  # a migration may rewrite a table; the pool's statement limit doesn't apply to it
# Files whose comments alone were rewritten: the checksum that they had when older releases applied them.
_CHECKSUMS_BEFORE_REWORDING = {
    "0001_first.sql": "0ab531fd5e691e52781994300a928e85f15e20982ddcb98b68525c3671ce27ff",
}


class MigrationFailed(StackynError):
    """The tables can't be brought up to this release; what had been applied before stays."""

    code = "MIGRATION_FAILED"


@dataclass(frozen=True, slots=True)
class Migration:
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def shipped(folder: Traversable | None = None) -> list[Migration]:
    """Read the migrations of `folder` (default: this release's), in order of their names."""
    folder = folder or resources.files("stackyn_server.store").joinpath("migrations")
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name
    )
    return [Migration(file.name, file.read_text("utf-8")) for file in files]


async def migrate(connection: Connection, migrations: list[Migration] | None = None) -> list[str]:
    """Apply what is missing and return the names. Concurrent calls wait for each other.

    Raises `MigrationFailed` for a database that is ahead of this release, a file that was edited after it was
    applied, and a file that fails (nothing of it is kept); `DatabaseUnavailable`.
    """
    migrations = await asyncio.to_thread(shipped) if migrations is None else migrations
    applied: list[str] = []
    while name := await _apply_next(connection, migrations):
        applied.append(name)
    return applied


async def check(connection: Connection) -> None:
    """Raise `MigrationFailed` unless the database's tables are exactly those of this release. Changes nothing."""
    migrations = await asyncio.to_thread(shipped)
    with translated():
        applied: dict[str, str] = {}
        if await connection.fetchval(_SQL.table_exists):
            applied = {row["name"]: row["checksum"] for row in await connection.fetch(_SQL.applied)}
    if next_missing(migrations, applied) is not None:
        raise MigrationFailed(
            "The database's tables are older than this release of Stackyn.",
            hint="Start the server of this release once, or run: stackyn migrate",
        )


async def _apply_next(connection: Connection, migrations: list[Migration]) -> str | None:
    """Apply one missing migration under the lock, which ends with its transaction; None when none is missing."""
    with translated():
        async with connection.transaction():
            await connection.execute(_SQL.no_statement_limit)
            await connection.execute(_SQL.lock, _LOCK_KEY, timeout=_FILE_SECONDS)
            await connection.execute(_SQL.create_table)
            applied = {row["name"]: row["checksum"] for row in await connection.fetch(_SQL.applied)}
            migration = next_missing(migrations, applied)
            if migration is None:
                return None
            await _apply(connection, migration)
            return migration.name


async def _apply(connection: Connection, migration: Migration) -> None:
    try:
        with translated():
            await connection.execute(migration.sql, timeout=_FILE_SECONDS)
    except StatementRefused as error:
        raise MigrationFailed(f"Migration {migration.name} failed; nothing of it was kept.") from error
    await connection.execute(_SQL.record, migration.name, migration.checksum)


def next_missing(migrations: list[Migration], applied: dict[str, str]) -> Migration | None:
    """Decide which migration comes next, given the checksums of the applied ones by name."""
    ahead = sorted(set(applied) - {migration.name for migration in migrations})
    if ahead:
        raise MigrationFailed(
            f"The database was used by a newer release of Stackyn ({ahead[0]} is unknown to this one).",
            hint="Install the newer release again, or restore a backup that this release made.",
        )
    missing: Migration | None = None
    for migration in migrations:
        checksum = applied.get(migration.name)
        if checksum is None:
            missing = missing or migration
        elif checksum not in (migration.checksum, _CHECKSUMS_BEFORE_REWORDING.get(migration.name)):
            raise MigrationFailed(
                f"Migration {migration.name} was edited after it had been applied to this database.",
                hint="Put the file back as it was, and write the change as a new migration.",
            )
        elif missing is not None:
            raise MigrationFailed(
                f"Migration {missing.name} is older than {migration.name}, which is applied already.",
                hint="Give the new migration the highest number.",
            )
    return missing
