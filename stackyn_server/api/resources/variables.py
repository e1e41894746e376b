"""Environment variables of an app."""

from __future__ import annotations

from stackyn_server.api.services import Services
from stackyn_server.api.wire.apps import NewVariable
from stackyn_server.api.wire.variables import Variable
from stackyn_server.domain.ids import AppId
from stackyn_server.services.sessions import Caller


async def list_variables(services: Services, caller: Caller, app: AppId) -> list[Variable]:
    """Return the app's variables by key."""
    return [Variable.from_view(view) for view in await services.variables.list(caller.id, app)]


async def put(services: Services, caller: Caller, app: AppId, body: NewVariable) -> Variable:
    """Set a variable; the next deploy or restart takes it."""
    return Variable.from_view(await services.variables.put(caller.id, app, body.key, body.value))


async def delete(services: Services, caller: Caller, app: AppId, key: str) -> None:
    """Remove a variable; one that is not there is success too."""
    await services.variables.delete(caller.id, app, key)
