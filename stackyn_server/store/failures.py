"""The errors of the database translated into ours. Every error of the store passes here; no statement text remains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import asyncpg

from stackyn_server.errors import StackynError, Unavailable


class DatabaseUnavailable(Unavailable):
    """The connection was refused or lost, or the database took too long. The same thing may succeed later."""

    code = "DATABASE_UNAVAILABLE"

    def __init__(
        self,
        message: str = "The database can't be reached right now.",
        *,
        hint: str = "Try again in a moment.",
    ) -> None:
        super().__init__(message, hint=hint)


class DatabaseRefused(DatabaseUnavailable):
    """The database refused the sign-in, or does not exist on its server: the operator must act."""


class CommitUnknown(DatabaseUnavailable):
    """The connection was lost during COMMIT: the transaction may or may not have happened."""


class Contention(Unavailable):
    """Two transactions conflicted (deadlock, serialization, lock timeout): repeat the transaction."""

    code = "DATABASE_CONTENTION"


class Duplicate(StackynError):
    """A unique index refused a row. `constraint` is the index's name, such as `app_name`."""

    code, status = "DUPLICATE", 409

    def __init__(self, constraint: str) -> None:
        super().__init__("This exists already.", details={"constraint": constraint})
        self.constraint = constraint


class StatementRefused(StackynError):
    """The database refused a statement because of a bug of ours (CHECK, foreign key, syntax).

    `sqlstate` and `constraint` name the rule; `__cause__` has the rest, for the log only.
    """

    def __init__(self, sqlstate: str, constraint: str) -> None:
        super().__init__("The database refused a change.")
        self.sqlstate = sqlstate
        self.constraint = constraint


_CONTENTION = frozenset({"40001", "40P01", "55P03"})
# Classes of SQLSTATE: lost connection, resources used up, operator intervention (shutdown, timeouts), system error.
_UNAVAILABLE_CLASSES = frozenset({"08", "53", "57", "58"})
# A read-only standby after a fail-over; a session that was idle too long inside a transaction.
_UNAVAILABLE = frozenset({"25006", "25P03"})
_REFUSED_CLASSES = frozenset({"28", "3D"})  # the sign-in; no such database


@contextmanager
def translated(is_lost: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Turn what asyncpg and the socket raise inside the block into the classes above.

    `is_lost` says whether the connection is lost: asyncpg raises InterfaceError then, and for a wrong use by us, which
    is raised as it is. InternalClientError was seen when a statement crossed the last message of the server.
    """
    try:
        yield
    except asyncpg.PostgresError as error:
        raise _of_postgres(error) from error
    except asyncpg.InterfaceError as error:
        if not is_lost():
            raise
        raise DatabaseUnavailable from error
    except (asyncpg.InternalClientError, OSError, TimeoutError) as error:
        raise DatabaseUnavailable from error


def _of_postgres(error: asyncpg.PostgresError) -> StackynError:
    sqlstate = error.sqlstate or ""
    constraint = getattr(error, "constraint_name", None) or ""
    if isinstance(error, asyncpg.UniqueViolationError):
        return Duplicate(constraint)
    if sqlstate in _CONTENTION:
        return Contention("Somebody changed the same thing at the same time.", hint="Try again.")
    if sqlstate[:2] in _UNAVAILABLE_CLASSES or sqlstate in _UNAVAILABLE:
        return DatabaseUnavailable()
    if sqlstate[:2] in _REFUSED_CLASSES:
        return DatabaseRefused(
            "The database refuses the connection.",
            hint="The server's administrator should look at [database] url in config.toml.",
        )
    return StatementRefused(sqlstate, constraint)
