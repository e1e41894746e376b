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
from stackyn_server.ingress.drivers import own_directory
from stackyn_server.ingress.other_listeners import other_listeners, port_shared
from stackyn_server.jobs.data_directory import living_holder

_ANYWHERE, _LOOPBACK = "0.0.0.0", "127.0.0.1"


@dataclass(frozen=True, slots=True)
class _Port:
    host: str
    number: int
    user: str
    is_of_ingress: bool = False


@dataclass(frozen=True, slots=True)
class _Proxy:
    """A running proxy of some installation: its container's name and first process."""

    name: str
    pid: int
    is_ours: bool


async def check_ports(settings: Settings) -> list[Finding]:
    server_runs = await asyncio.to_thread(living_holder, settings.server.data_dir) is not None
    proxies = await _running_proxies(settings) if settings.ingress.managed else {}
    own = [proxy.pid for proxy in proxies.values() if proxy.is_ours]
    findings = []
    for port in _ports(settings):
        finding = _check_port(port, is_ours=bool(own) if port.is_of_ingress else server_runs)
        if port.is_of_ingress and own:
            others = await asyncio.to_thread(other_listeners, [port.number], own)
            if others:
                names = [
                    proxies[other.container].name if other.container in proxies else "" for other in others
                ]
                error = port_shared(others, names)
                finding = Finding("ports", Severity.PROBLEM, error.message, error.hint)
        findings.append(finding)
    return findings


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


async def _running_proxies(settings: Settings) -> dict[str, _Proxy]:
    """Return every installation's proxies on this engine, by the ids of their containers. Ours reads our routes."""
    filters = json.dumps({"label": ["io.stackyn.role=ingress"], "status": ["running"]})
    folder = str(own_directory(settings).absolute())
    try:
        async with Engine(settings.engine, settings.network, "doctor") as engine:
            listed = await engine.request("GET", "containers/json", params={"filters": filters})
            found = [await engine.request_or_none("GET", f"containers/{each['Id']}/json") for each in listed]
    except StackynError:
        return {}  # said by the engine's own check
    return {
        each["Id"]: _Proxy(
            each["Name"].removeprefix("/"),
            each["State"]["Pid"],
            any(mount.get("Source") == folder for mount in each["Mounts"]),
        )
        for each in found
        if each is not None
    }
