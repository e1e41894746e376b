"""Reads from a handler's annotations what its requests must have.

A handler is a plain function. By annotation it may ask for `Services`, the `Caller`, the `ClientNetwork`, the
`web.Request` itself, one body model (or the body as `bytes`) and one query model; every other parameter is a member of
the path with the same name.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from aiohttp import web

from stackyn_server.api.endpoint import Endpoint
from stackyn_server.api.services import Services
from stackyn_server.api.wire.base import Query, RequestBody
from stackyn_server.domain.client_network import ClientNetwork
from stackyn_server.domain.ids import AppId, DeploymentId, UserId, parse_id
from stackyn_server.errors import NotFound
from stackyn_server.services.administration import NoSuchUser
from stackyn_server.services.app_access import NoSuchApp, NoSuchDeployment
from stackyn_server.services.sessions import Caller

_MEMBER = re.compile(r"\{(\w+)\}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class _NotAnId(NotFound):
    def __init__(self) -> None:
        super().__init__("There is nothing with this id.")


def _number(text: str, missing: Callable[[], NotFound] = _NotAnId) -> int:
    number = parse_id(text) if text else None
    if number is None:
        raise missing()
    return number


def _user_id(text: str) -> UUID:
    if not _UUID.fullmatch(text):
        raise NoSuchUser
    return UUID(text)


# A malformed id gets the same answer as an unknown one.
PARSERS: dict[Any, Callable[[str], Any]] = {
    AppId: partial(_number, missing=NoSuchApp),
    DeploymentId: partial(_number, missing=NoSuchDeployment),
    int: _number,
    UserId: _user_id,
    str: str,
}

# The annotations that stand for a part of every request, and the field of `Binding` that names the parameter.
_PARTS: dict[Any, str] = {
    Services: "services",
    Caller: "caller",
    ClientNetwork: "network",
    web.Request: "request",
    bytes: "raw_body",
}


@dataclass(frozen=True, slots=True)
class Binding:
    """What a handler needs, by parameter name. `response` is the annotation of what the handler returns."""

    path: Mapping[str, Callable[[str], Any]] = field(default_factory=dict)
    path_types: Mapping[str, Any] = field(default_factory=dict)
    body: tuple[str, type[RequestBody]] | None = None
    query: tuple[str, type[Query]] | None = None
    services: str | None = None
    caller: str | None = None
    network: str | None = None
    request: str | None = None
    raw_body: str | None = None
    response: Any = None


def bind(endpoint: Endpoint) -> Binding:
    """Read the annotations of the endpoint's handler. Raises TypeError when they and the path disagree."""
    hints = typing.get_type_hints(endpoint.handler)
    members = _MEMBER.findall(endpoint.path)
    bound: dict[str, Any] = {"response": hints.pop("return", None)}
    path, path_types = {}, {}
    for name, hint in hints.items():
        if hint in _PARTS:
            bound[_PARTS[hint]] = name
        elif isinstance(hint, type) and issubclass(hint, RequestBody):
            bound["body"] = (name, hint)
        elif isinstance(hint, type) and issubclass(hint, Query):
            bound["query"] = (name, hint)
        elif name in members and hint in PARSERS:
            path[name], path_types[name] = PARSERS[hint], hint
        else:
            raise TypeError(f"{endpoint.name}: nothing of a request fits the parameter {name!r}")
    if set(members) != set(path):
        raise TypeError(f"{endpoint.name}: the path has {members}, the handler takes {sorted(path)}")
    return Binding(path=path, path_types=path_types, **bound)
