"""Credentials of image registries, for the builds of the caller's apps."""

from __future__ import annotations

from stackyn_server.api.services import Services
from stackyn_server.api.wire.registries import NewRegistryCredential, RegistryCredential
from stackyn_server.domain.ids import LARGEST_ID, AppId
from stackyn_server.domain.registries import RegistryCredential as Credential
from stackyn_server.services.app_access import NoSuchApp
from stackyn_server.services.sessions import Caller


async def list_credentials(services: Services, caller: Caller) -> list[RegistryCredential]:
    """Return the credentials of the caller's account and apps, newest first, without their passwords."""
    return [RegistryCredential.from_view(view) for view in await services.registries.list(caller)]


async def put(services: Services, caller: Caller, body: NewRegistryCredential) -> RegistryCredential:
    """Set what builds sign in with at a registry; the same host and app replaces. The next build uses it."""
    if body.app_id is not None and not 1 <= body.app_id <= LARGEST_ID:
        raise NoSuchApp
    app = AppId(body.app_id) if body.app_id is not None else None
    credential = Credential(body.host, body.user, body.password)
    return RegistryCredential.from_view(await services.registries.put(caller, app, credential))


async def delete(services: Services, caller: Caller, credential: int) -> None:
    """Delete a credential; builds that begin from now on do without it."""
    await services.registries.delete(caller, credential)
