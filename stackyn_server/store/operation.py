"""Counts of the whole installation for an operator's dashboard, without names."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from stackyn_server.store.database import Connection
from stackyn_server.store.queries import load

SQL = load("operation")


async def app_states(connection: Connection) -> Mapping[str, int]:
    """Return how many living apps are serving, down, unhealthy, held, stopped or not live yet."""
    return {row["state"]: row["apps"] for row in await connection.fetch(SQL.app_states)}


async def clock(connection: Connection, seconds_ago: float) -> datetime:
    """Return the time of the database that many seconds ago."""
    then: datetime = await connection.fetchval(SQL.clock, seconds_ago)
    return then


async def events_between(connection: Connection, after: datetime, until: datetime) -> Mapping[str, int]:
    """Return how often each event happened in transactions that began in that time."""
    return {row["name"]: row["events"] for row in await connection.fetch(SQL.events_between, after, until)}
