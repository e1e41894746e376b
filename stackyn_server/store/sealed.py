"""All rows that hold something sealed, to seal it anew: read in steps by what key it is sealed with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from stackyn_server.store.database import Connection, Record
from stackyn_server.store.queries import load

SQL = load("sealed")


class Place(StrEnum):
    """The values are words for people."""

    VARIABLES = "variables"
    CREDENTIALS = "registry credentials"
    RELEASES = "environments of releases"
    MAILS = "queued mails"


@dataclass(frozen=True, slots=True)
class Sealed:
    """`row` has what the value is sealed for: see the query of its place."""

    id: int
    value: bytes = field(repr=False)
    row: Record = field(repr=False)


_READ: Mapping[Place, str] = {
    Place.VARIABLES: SQL.variables,
    Place.CREDENTIALS: SQL.credentials,
    Place.RELEASES: SQL.releases,
    Place.MAILS: SQL.mails,
}
_WRITE: Mapping[Place, str] = {
    Place.VARIABLES: SQL.set_variables,
    Place.CREDENTIALS: SQL.set_credentials,
    Place.RELEASES: SQL.set_releases,
    Place.MAILS: SQL.set_mails,
}


async def lock_others(
    connection: Connection, place: Place, *, above: int, apart_from_key: int, limit: int
) -> list[Sealed]:
    """Return what is sealed with other keys, by id, locked until the transaction ends."""
    rows = await connection.fetch(_READ[place], above, apart_from_key, limit)
    return [Sealed(row["id"], row["sealed"], row) for row in rows]


async def replace(connection: Connection, place: Place, values: Mapping[int, bytes]) -> None:
    """Write the newly sealed values by id."""
    if place is Place.RELEASES:
        await connection.execute(SQL.allow_releases)
    await connection.execute(_WRITE[place], list(values), list(values.values()))
