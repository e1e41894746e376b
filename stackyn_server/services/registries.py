"""Credentials of image registries, of an account or of one of its apps. A password goes in and is never shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from stackyn_server.config import Settings
from stackyn_server.domain.ids import AppId
from stackyn_server.domain.registries import RegistryCredential, valid_host, valid_password, valid_user
from stackyn_server.errors import Conflict, NotFound, SignInRequired
from stackyn_server.security.registries import seal_password
from stackyn_server.security.sealing import Sealer
from stackyn_server.services.app_access import lock_app
from stackyn_server.services.sessions import Caller
from stackyn_server.store import apps, registries
from stackyn_server.store.database import Database
from stackyn_server.store.registries import SealedCredential


@dataclass(frozen=True, slots=True)
class CredentialView:
    """`app_id` is None for one that serves all apps of the account."""

    id: int
    host: str
    user: str
    app_id: AppId | None
    created_at: datetime
    updated_at: datetime


class Registries:
    def __init__(self, database: Database, settings: Settings, sealer: Sealer) -> None:
        self._database = database
        self._settings = settings
        self._sealer = sealer

    async def list(self, caller: Caller) -> list[CredentialView]:
        """Return the credentials of the account and of its apps, newest first, without their passwords."""
        async with self._database.connection() as connection:
            return [_view(row) for row in await registries.of_account(connection, caller.id)]

    async def put(self, caller: Caller, app: AppId | None, credential: RegistryCredential) -> CredentialView:
        """Set what builds of `app` (None: of all the account's apps) sign in with at a host; the same host and app
        replaces, keeping id and creation time.

        Raises `InvalidRequest`, `NotFound` for an app, `Conflict` for one too many.
        """
        host, user = valid_host(credential.host), valid_user(credential.user)
        password = valid_password(credential.password)
        async with self._database.transaction() as connection:
            if not await apps.lock_tenant(connection, caller.id):
                raise SignInRequired("This account no longer exists.", code="SESSION_ENDED")
            if app is not None:
                await lock_app(connection, app, caller.id)
            most = self._settings.builds.registry_credentials
            if await registries.others(connection, caller.id, app, host) >= most:
                raise Conflict(
                    f"An account keeps credentials for at most {most} registries.",
                    hint="Delete one that is not needed any more.",
                )
            sealed = seal_password(self._sealer, caller.id, app, host, password)
            row = await registries.put(connection, caller.id, app, host=host, username=user, sealed=sealed)
        return _view(row)

    async def delete(self, caller: Caller, credential: int) -> None:
        """Delete a credential; builds that begin from now on do without it."""
        async with self._database.transaction() as connection:
            if not await registries.delete(connection, caller.id, credential):
                raise NotFound("There is no such credential.")


def _view(row: SealedCredential) -> CredentialView:
    return CredentialView(row.id, row.host, row.username, row.app, row.created_at, row.updated_at)
