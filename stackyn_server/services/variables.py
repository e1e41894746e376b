"""An app's variables. A change restarts nothing: the next deploy or restart takes the new values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from stackyn_server.config import AppsSettings
from stackyn_server.domain.apps import Amount, check_amount, valid_variable, variable_bytes
from stackyn_server.domain.ids import AppId, UserId
from stackyn_server.security.sealing import OVERHEAD_BYTES, Sealer
from stackyn_server.security.variables import open_variable, seal_variable
from stackyn_server.services.app_access import find_app, lock_app
from stackyn_server.store import variables
from stackyn_server.store.database import Database
from stackyn_server.store.variables import SealedVariable


@dataclass(frozen=True, slots=True)
class VariableView:
    id: int
    app_id: AppId
    key: str
    value: str
    created_at: datetime
    updated_at: datetime


class Variables:
    def __init__(self, database: Database, settings: AppsSettings, sealer: Sealer) -> None:
        self._database = database
        self._limit = Amount(settings.variables, settings.variables_bytes)
        self._sealer = sealer

    async def list(self, tenant: UserId | None, app: AppId) -> list[VariableView]:
        """Return the app's variables by key, values in clear for their owner."""
        async with self._database.connection() as connection:
            owner = (await find_app(connection, app, tenant)).tenant
            rows = await variables.list_of_app(connection, app)
        return [self._opened(owner, row) for row in rows]

    async def put(self, tenant: UserId | None, app: AppId, key: str, value: str) -> VariableView:
        """Set a variable; the same key replaces, keeping id and creation time. Raises `InvalidRequest`."""
        key, value = valid_variable(key.strip(), value)
        async with self._database.transaction() as connection:
            owner = (await lock_app(connection, app, tenant)).tenant
            before, other_amount = map(_amount, await variables.amounts(connection, app, key))
            after = Amount(other_amount.count + 1, other_amount.bytes + variable_bytes(key, value))
            check_amount(before, after, self._limit)
            sealed = seal_variable(self._sealer, owner, app, key, value)
            row = await variables.put(connection, app, key, sealed)
        return self._opened(owner, row)

    async def delete(self, tenant: UserId | None, app: AppId, key: str) -> None:
        """Remove a variable; an absent key is success."""
        async with self._database.transaction() as connection:
            await lock_app(connection, app, tenant)
            await variables.delete(connection, app, key)

    def _opened(self, tenant: UserId, row: SealedVariable) -> VariableView:
        value = open_variable(self._sealer, tenant, row.app, row.key, row.sealed)
        return VariableView(row.id, row.app, row.key, value, row.created_at, row.updated_at)


def _amount(stored: Amount) -> Amount:
    return Amount(stored.count, stored.bytes - stored.count * OVERHEAD_BYTES)
