"""Seals the values of an app's variables, each bound to its tenant, app and name."""

from __future__ import annotations

from stackyn_server.domain.ids import AppId, UserId
from stackyn_server.security.sealing import Sealer


def seal_variable(sealer: Sealer, tenant: UserId, app: AppId, name: str, value: str) -> bytes:
    return sealer.seal(variable_context(tenant, app, name), value.encode())


def open_variable(sealer: Sealer, tenant: UserId, app: AppId, name: str, sealed: bytes) -> str:
    """Open what `seal_variable` made for the same tenant, app and name. Raises `SealBroken`."""
    return sealer.open(variable_context(tenant, app, name), sealed).decode()


def variable_context(tenant: UserId, app: AppId, name: str) -> str:
    """Return what the value of a variable is sealed for."""
    return f"{tenant}|{app}|{name}"
