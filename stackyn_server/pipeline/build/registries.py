"""What a build signs in with at image registries."""

from __future__ import annotations

from stackyn_server.domain.ids import AppId, UserId
from stackyn_server.domain.registries import RegistryCredential
from stackyn_server.security.registries import open_password
from stackyn_server.security.sealing import Sealer
from stackyn_server.store import registries
from stackyn_server.store.database import Connection


async def credentials_for(
    connection: Connection, sealer: Sealer, tenant: UserId, app: AppId
) -> list[RegistryCredential]:
    """Return the credentials of the app and of its account in clear, one for each host. Raises `SealBroken`."""
    return [
        RegistryCredential(
            row.host, row.username, open_password(sealer, row.account, row.app, row.host, row.sealed)
        )
        for row in await registries.credentials_for(connection, tenant, app)
    ]
