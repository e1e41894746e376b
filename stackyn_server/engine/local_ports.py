"""Keep other users of this machine from ports on loopback that are for the proxy and this server alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from stackyn_server.engine.client import Engine
from stackyn_server.engine.firewall_zone import local_chain_name, write_local_rules


async def restrict_local_ports(engine: Engine, ports: Sequence[int], users: Collection[int]) -> bool:
    """Let only `users` (numbers) open connections to `ports` of 127.0.0.1; without ports, everybody.

    Call it at start and on a period. Returns whether it wrote any rule. Raises `TablesRefused`.
    """
    chain = local_chain_name(engine)
    rules = [f"-A {chain} -m owner --uid-owner {user:d} -j RETURN" for user in sorted(users)]
    rules += [
        f"-A {chain} -p tcp -m tcp --dport {port:d} -j REJECT --reject-with tcp-reset" for port in ports
    ]
    return await write_local_rules(engine, rules if ports else [])
