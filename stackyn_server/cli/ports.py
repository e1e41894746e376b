"""Checks that each port of this server and its ingress is free, or in use by them."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from stackyn_server.cli.findings import Finding, Severity
from stackyn_server.config import Settings
from stackyn_server.engine.client import Engine
from stackyn_server.errors import StackynError
from stackyn_server.jobs.data_directory import living_holder

_ANYWHERE, _LOOPBACK = "0.0.0.0", "127.0.0.1"


@dataclass(frozen=True, slots=True)
class _Port:
    host: str
    number: int
    user: str
    is_of_ingress: bool = False


async def check_ports(settings: Settings) -> list[Finding]:
    ours = {
        False: await asyncio.to_thread(living_holder, settings.server.data_dir) is not None,
        True: settings.ingress.managed and await _ingress_runs(settings),
    }
    return [_check_port(port, is_ours=ours[port.is_of_ingress]) for port in _ports(settings)]


def _ports(settings: Settings) -> Iterator[_Port]:
    ingress = settings.ingress
    yield _Port(settings.server.host, settings.server.port, "the API")
    yield _Port(_LOOPBACK, settings.hold.port, "held requests")
    if settings.frontend.folders:
        yield _Port(_LOOPBACK, settings.frontend.port, "the web clients")
    if ingress.provider == "traefik" and ingress.managed:
        for number in (ingress.http_port, ingress.https_port):
            if number:
                yield _Port(_ANYWHERE, number, "the ingress", is_of_ingress=True)
        yield _Port(_LOOPBACK, ingress.metrics_port, "the ingress's numbers", is_of_ingress=True)


def _check_port(port: _Port, *, is_ours: bool) -> Finding:
    where = f"{port.host}:{port.number}"
    family = socket.AF_INET6 if ":" in port.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((port.host, port.number))
        except OSError as error:
            if error.errno == errno.EADDRINUSE and is_ours:
                return Finding("ports", Severity.FINE, f"{port.user} serves on {where}.")
            if error.errno == errno.EACCES:  # the engine opens it, not we
                sentence = f"Port {port.number} for {port.user} can't be tried by this user."
                return Finding("ports", Severity.FINE, sentence)
            hint = f"Find out who: ss -ltnp 'sport = :{port.number}'"
            reason = "somebody else uses it" if error.errno == errno.EADDRINUSE else error.strerror
            return Finding("ports", Severity.PROBLEM, f"{where} for {port.user}: {reason}.", hint)
    return Finding("ports", Severity.FINE, f"{where} is free for {port.user}.")


async def _ingress_runs(settings: Settings) -> bool:
    filters = json.dumps({"label": ["io.stackyn.role=ingress"], "status": ["running"]})
    try:
        async with Engine(settings.engine, settings.network, "doctor") as engine:
            return bool(await engine.request("GET", "containers/json", params={"filters": filters}))
    except StackynError:
        return False  # said by the engine's own check
