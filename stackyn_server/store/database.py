"""The pool of connections to PostgreSQL, and the only two ways to use it: `transaction()` and `connection()`.

The pool connects on demand, so a server can start while its database is away and goes on by itself afterwards.
What a transaction announces is posted to the bulletin right after its COMMIT.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol, TypeVar, cast

import asyncpg

from stackyn_server import config
from stackyn_server.domain.notices import Notice, Unclear
from stackyn_server.domain.text import storable, storable_json
from stackyn_server.store.bulletin import Bulletin
from stackyn_server.store.failures import CommitUnknown, DatabaseRefused, DatabaseUnavailable, translated

IDLE_IN_TRANSACTION = "5s"  # so that a server frozen inside a claim loses its locks
# The database ends a slow statement itself; our own limit, this much later, applies when it does not answer at all.
ANSWER_MARGIN_SECONDS = 2.0
GIVE_BACK_SECONDS = 2.0  # to roll back or reset a connection before it is dropped instead
_IDLE_CONNECTION_SECONDS = 60.0
_CONNECTION_ERRORS = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)

Record = Mapping[str, Any]


class Connection(Protocol):
    """The methods of an asyncpg connection that this project uses, pooled or not. `timeout` is in seconds."""

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str: ...
    async def fetch(self, query: str, *args: Any, timeout: float | None = None) -> list[Record]: ...
    # A `Record` or None. Not typed as such: most callers know that their statement returns a row.
    async def fetchrow(self, query: str, *args: Any, timeout: float | None = None) -> Any: ...
    async def fetchval(
        self, query: str, *args: Any, column: int = 0, timeout: float | None = None
    ) -> Any: ...
    def transaction(self) -> AbstractAsyncContextManager[Any]: ...
    def announce(self, notice: Notice) -> None: ...  # posted after the commit
    async def add_listener(self, channel: str, callback: Any) -> None: ...
    def add_termination_listener(self, callback: Any) -> None: ...
    def is_closed(self) -> bool: ...
    async def close(self, *, timeout: float | None = None) -> None: ...
    def terminate(self) -> None: ...


T = TypeVar("T")


async def fetch_one(
    connection: Connection, from_row: Callable[[Record], T], query: str, *args: Any
) -> T | None:
    """Return the row that the query finds, made into a value; None when it finds none."""
    row = await connection.fetchrow(query, *args)
    return None if row is None else from_row(row)


async def delete_rows(connection: Connection, query: str, *args: Any) -> int:
    """Run a statement that ends with DELETE, and return how many rows it has deleted."""
    status = await connection.execute(query, *args)
    return int(status.rpartition(" ")[2])


class _CheckedConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """A connection that makes every text argument storable (`domain.text`); the encoder below does so for JSON.

    PostgreSQL answers ROLLBACK to the COMMIT of a transaction whose failed statement was caught: that raises here.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._announced: list[Notice] = []

    def announce(self, notice: Notice) -> None:
        """Have `notice` posted after the commit of what was just written; after a rollback it is forgotten."""
        self._announced.append(notice)

    def announce_to(self, notices: list[Notice]) -> None:
        self._announced = notices

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:
        status: str = await super().execute(query, *map(_storable, args), timeout=timeout)
        if status == "ROLLBACK" and query.startswith("COMMIT"):
            raise asyncpg.InFailedSQLTransactionError("a statement of this transaction had failed")
        return status

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        return await super().fetch(query, *map(_storable, args), **options)

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        return await super().fetchrow(query, *map(_storable, args), **options)

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        return await super().fetchval(query, *map(_storable, args), **options)


class Database:
    """Made by `open`. Errors of the database leave both context managers as the classes of `store.failures`."""

    def __init__(self, pool: Any, url: str, settings: config.DatabaseSettings, application_name: str) -> None:
        self._pool = pool
        self._url = url
        self._settings = settings
        self._application_name = application_name
        self.bulletin: Bulletin[Notice] = Bulletin()

    @classmethod
    async def open(cls, url: str, settings: config.DatabaseSettings, *, application_name: str) -> Database:
        """Make the pool without connecting. Raises `DatabaseRefused` when `url` isn't a PostgreSQL address."""
        arguments = _connect_arguments(settings, application_name)
        try:
            pool = await asyncpg.create_pool(
                url,
                min_size=0,
                max_size=settings.pool_size,
                max_inactive_connection_lifetime=_IDLE_CONNECTION_SECONDS,
                init=_prepare,
                connection_class=_CheckedConnection,
                **arguments,
            )
        except (ValueError, asyncpg.InterfaceError) as error:
            raise DatabaseRefused(
                "[database] url isn't a PostgreSQL address.",
                hint="Use postgresql://user:password@host:port/database.",
            ) from error
        return cls(pool, url, settings, application_name)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection without a transaction: each statement is its own. For reads."""
        with translated():
            connection = await self._pool.acquire(timeout=self._settings.connect_seconds)
        notices: list[Notice] = []
        connection.announce_to(notices)
        try:
            with translated(lambda: _is_lost(connection)):
                yield cast(Connection, connection)
            self._post(notices)
        except DatabaseUnavailable as error:
            if isinstance(error, CommitUnknown):
                self._post([Unclear(notice.app, notice.deployment) for notice in notices])
            _drop(connection)
            raise
        finally:
            await self._give_back(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """BEGIN, the block, COMMIT; ROLLBACK when the block raises.

        Raises `CommitUnknown` when the answer to COMMIT was lost.
        """
        async with self.connection() as connection:
            transaction = cast(Any, connection).transaction()
            await transaction.start()
            try:
                with translated(lambda: _is_lost(connection)):
                    yield connection
            except BaseException as error:
                if not isinstance(error, DatabaseUnavailable):
                    await _roll_back(transaction, connection)
                raise
            await _commit(transaction)

    async def dedicated(self) -> Connection:
        """Open a connection outside the pool (LISTEN needs its own). The caller closes it."""
        arguments = _connect_arguments(self._settings, self._application_name)
        with translated():
            connection = await asyncpg.connect(self._url, connection_class=_CheckedConnection, **arguments)
            await _prepare(connection)
        return cast(Connection, connection)

    async def set_application_name(self, name: str) -> None:
        """Name new sessions; the connections of the pool are renewed when they are given back."""
        self._application_name = name
        self._pool.set_connect_args(self._url, **_connect_arguments(self._settings, name))
        await self._pool.expire_connections()

    async def close(self) -> None:
        """Close the pool; connections that are still in use after a moment are dropped."""
        try:
            async with asyncio.timeout(GIVE_BACK_SECONDS):
                await self._pool.close()
        except _CONNECTION_ERRORS:
            self._pool.terminate()

    def _post(self, notices: Iterable[Notice]) -> None:
        for notice in notices:
            self.bulletin.post(notice)

    async def _give_back(self, connection: Any) -> None:
        try:
            await self._pool.release(connection, timeout=GIVE_BACK_SECONDS)
        except _CONNECTION_ERRORS:
            _drop(connection)  # it won't reset; the work is done, or has its own error


async def _commit(transaction: Any) -> None:
    try:
        with translated():
            await transaction.commit()
    except DatabaseUnavailable as error:
        raise CommitUnknown from error


async def _roll_back(transaction: Any, connection: Connection) -> None:
    try:
        async with asyncio.timeout(GIVE_BACK_SECONDS):
            await transaction.rollback()
    except _CONNECTION_ERRORS:
        _drop(connection)  # the database rolls back what a lost session began


def _is_lost(connection: Connection) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:  # the pool took a lost connection back already
        return True


def _drop(connection: Connection) -> None:
    with contextlib.suppress(asyncpg.InterfaceError):
        connection.terminate()


async def _prepare(connection: Any) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, schema="pg_catalog", encoder=_as_json, decoder=json.loads)


def _storable(argument: Any) -> Any:
    """An argument of a statement: a text or a list of them. (A dict is a JSON value, and passes `_as_json`.)"""
    if isinstance(argument, str):
        return storable(argument)
    if isinstance(argument, list):
        return [_storable(member) for member in argument]
    return argument


def _as_json(value: Any) -> str:
    return json.dumps(storable_json(value))


def _connect_arguments(settings: config.DatabaseSettings, application_name: str) -> dict[str, Any]:
    return {
        "timeout": settings.connect_seconds,
        "command_timeout": settings.statement_seconds + ANSWER_MARGIN_SECONDS,
        "server_settings": {
            "application_name": application_name,
            "statement_timeout": str(round(settings.statement_seconds * 1000)),
            "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION,
            "timezone": "UTC",
        },
    }
