"""Containers may not open connections to this host, except to the proxy and to name servers.

Nothing in Docker stops a container from reaching any listener of its host through its gateway's address; a rule in
DOCKER-USER doesn't either (tried on 20.10 to 29). So the rules are in INPUT, by the names of our bridges, in a chain
of our own. The `iptables` binary writes whichever kernel tables it was built for; both kinds are obeyed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path

from stackyn_server.engine.client import Engine
from stackyn_server.engine.networks import interface_prefix

_LOCK_SECONDS = "5"  # other programs change the tables too, and hold a lock meanwhile
_RESOLVERS = Path("/etc/resolv.conf")
_NAME_SERVICE_PORT = 53


@dataclass(frozen=True, slots=True)
class HostState:
    """Whether containers are kept from the host. `was_open`: the rules were missing until now. `warning` is for the
    operator, "" when all is well."""

    closed: bool
    was_open: bool
    warning: str = ""


class _Refused(Exception):
    pass


async def close_host(engine: Engine, ingress_ports: Sequence[int]) -> HostState:
    """Put the rules in place, or back, for all bridges of this installation; to be called at start and on a period."""
    resolvers = await asyncio.to_thread(_resolvers_of_host)
    try:
        was_open = await _close(
            "iptables", engine, list(_rules(chain_name(engine), ingress_ports, resolvers))
        )
    except _Refused as refused:
        return HostState(False, True, f"Containers can reach services of this host: {refused}")
    try:
        # Our bridges have no IPv6; this is for the day that somebody gives them some.
        await _close("ip6tables", engine, [f"-A {chain_name(engine)} -j DROP"])
    except _Refused:
        return HostState(True, was_open)
    return HostState(True, was_open)


async def open_host(engine: Engine) -> None:
    """Take our rules away again. Does nothing where there are none."""
    chain = chain_name(engine)
    for binary in ("iptables", "ip6tables"):
        for rule in (("-D", "INPUT", *_jump(engine)), ("-F", chain), ("-X", chain)):
            try:
                await _run(binary, "-w", _LOCK_SECONDS, *rule)
            except _Refused:
                continue  # there is no such rule or chain


def chain_name(engine: Engine) -> str:
    return f"STACKYN-{engine.labels.short}"


def _jump(engine: Engine) -> tuple[str, ...]:
    return "-i", f"{interface_prefix(engine)}+", "-j", chain_name(engine)


def _rules(chain: str, ports: Sequence[int], resolvers: Sequence[IPv4Address]) -> Iterator[str]:
    """RETURN, not ACCEPT: the host's own rules still have their say."""
    yield f"-A {chain} -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"
    for port in ports:
        yield f"-A {chain} -p tcp --dport {port:d} -j RETURN"
    for resolver in resolvers:
        for protocol in ("udp", "tcp"):
            yield f"-A {chain} -d {resolver} -p {protocol} --dport {_NAME_SERVICE_PORT} -j RETURN"
    yield f"-A {chain} -j DROP"


async def _close(binary: str, engine: Engine, rules: list[str]) -> bool:
    """Replace the chain in one step, then have INPUT lead to it. Returns whether it didn't before."""
    chain = chain_name(engine)
    # With --noflush, naming a chain of one's own empties just that chain, in the same transaction.
    table = "\n".join(["*filter", f":{chain} - [0:0]", *rules, "COMMIT", ""])
    await _run(f"{binary}-restore", "--noflush", "-w", _LOCK_SECONDS, stdin=table)
    try:
        await _run(binary, "-w", _LOCK_SECONDS, "-C", "INPUT", *_jump(engine))
    except _Refused:
        await _run(binary, "-w", _LOCK_SECONDS, "-I", "INPUT", "1", *_jump(engine))
        return True
    return False


async def _run(*command: str, stdin: str = "") -> None:
    """Raises `_Refused` with the program's complaint."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise _Refused(f"{command[0]} can't be run ({error.strerror}).") from error
    _, complaint = await process.communicate(stdin.encode())
    if process.returncode:
        raise _Refused(f"{command[0]} says: {complaint.decode('utf-8', 'replace').strip()}")


def _resolvers_of_host() -> list[IPv4Address]:
    """Return the name servers that containers are sent to: the host's, without those on loopback, which the engine
    asks on their behalf."""
    try:
        lines = _RESOLVERS.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            try:
                address = IPv4Address(words[1])
            except AddressValueError:
                continue  # IPv6: our bridges have none
            if not address.is_loopback:
                found.append(address)
    return found
