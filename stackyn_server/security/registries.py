"""Seals passwords of image registries, each bound to its account, app and host."""

from __future__ import annotations

from stackyn_server.domain.ids import AppId, UserId
from stackyn_server.security.sealing import Sealer


def seal_password(sealer: Sealer, account: UserId, app: AppId | None, host: str, password: str) -> bytes:
    return sealer.seal(password_context(account, app, host), password.encode())


def open_password(sealer: Sealer, account: UserId, app: AppId | None, host: str, sealed: bytes) -> str:
    """Open what `seal_password` made for the same account, app and host. Raises `SealBroken`."""
    return sealer.open(password_context(account, app, host), sealed).decode()


def password_context(account: UserId, app: AppId | None, host: str) -> str:
    """Return what the password of a registry is sealed for."""
    return f"{account}|{'all apps' if app is None else app}|registry {host}"
