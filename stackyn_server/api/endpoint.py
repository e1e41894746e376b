"""What an entry of the endpoint table says. Middleware, OpenAPI and the authorization tests are derived from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from stackyn_server.domain.scopes import Scope

Handler = Callable[..., Awaitable[Any]]


class Access(StrEnum):
    """Who may call. The two owner kinds answer 404 to everybody else, so that nothing leaks its existence."""

    PUBLIC = "public"
    USER = "user"
    APP_OWNER = "app_owner"
    DEPLOYMENT_OWNER = "deployment_owner"
    ADMIN = "admin"
    OPERATOR = "operator"  # an administrator, or who shows the token of `[metrics] token_file`


class Rate(StrEnum):
    """Which allowance of `[rates]` a request uses up."""

    FREE = "free"
    READINESS = "readiness"
    AUTHENTICATION = "authentication"
    READ = "read"
    WRITE = "write"


class Media(StrEnum):
    """The kind of body of a successful response."""

    JSON = "application/json"
    STREAM = "text/event-stream"
    TEXT = "text/plain"
    WEBSOCKET = "websocket"
    NOTHING = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One entry. Path, query, body and answer are read from the handler's annotations.

    `scope` is what a token needs to call it; public ones ask for none. A token for one app may call what is about that
    app, and what `narrows_to_app`: whose handler shows it that app alone.
    `other_status` is a second success, chosen by the answer, and `other_media` a second form of it. `headers` are those
    that the handler reads. `errors` are statuses beyond those that follow from access, body, gate and rate.
    `has_slash_alias` is for the few paths that published clients also call with a trailing slash.
    """

    method: str
    path: str
    handler: Handler
    access: Access
    scope: Scope | None = None
    status: int = 200
    rate: Rate | None = None
    is_billing_gated: bool = False
    other_status: int | None = None
    errors: tuple[int, ...] = ()
    has_slash_alias: bool = False
    media: Media = Media.JSON
    other_media: Media | None = None
    headers: tuple[str, ...] = ()
    narrows_to_app: bool = False

    def __post_init__(self) -> None:
        if (self.scope is None) != (self.access is Access.PUBLIC):
            raise TypeError(f"{self.name}: an endpoint has a scope unless it is public")

    @property
    def is_about_an_app(self) -> bool:
        return self.access in (Access.APP_OWNER, Access.DEPLOYMENT_OWNER)

    @property
    def rate_class(self) -> Rate:
        if self.rate is not None:
            return self.rate
        return Rate.READ if self.method == "GET" else Rate.WRITE

    @property
    def name(self) -> str:
        """The stable name in OpenAPI and in logs: `<module>.<function>`."""
        return f"{self.handler.__module__.rpartition('.')[2]}.{self.handler.__name__}"
