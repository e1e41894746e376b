"""Who reaches a port on loopback before and after it is closed to other users; run in namespaces of its own.

Prints for each of root, the proxy's user and another user whether a connection was accepted: without rules, with them,
with them again after somebody flushed the tables, and after they were taken back.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess

from stackyn_server import config
from stackyn_server.engine.client import Engine
from stackyn_server.engine.local_ports import restrict_local_ports

PROXY, OTHER = 1_900_000_007, 65_534


def reached(port: int) -> dict[str, bool]:
    return {"root": accepts(port, 0), "proxy": accepts(port, PROXY), "other": accepts(port, OTHER)}


def accepts(port: int, user: int) -> bool:
    """Whether a socket of this user is connected. It belongs to the user that this process acts as."""
    os.seteuid(user)
    try:
        socket.create_connection(("127.0.0.1", port), 2).close()
    except OSError:
        return False
    finally:
        os.seteuid(0)
    return True


async def main() -> None:
    engine = Engine(config.EngineSettings(), config.NetworkSettings(), "an installation")
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    other = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port, open_port = (each.sockets[0].getsockname()[1] for each in (server, other))
    seen = [reached(port)]
    wrote = [await restrict_local_ports(engine, [port], {0, PROXY}) for _ in range(2)]
    seen += [reached(port), reached(open_port)]
    await asyncio.to_thread(subprocess.run, ["iptables", "-F"], check=True)
    wrote.append(await restrict_local_ports(engine, [port], {0, PROXY}))
    seen.append(reached(port))
    wrote.append(await restrict_local_ports(engine, [], {0}))
    seen.append(reached(port))
    print(json.dumps({"seen": seen, "wrote": wrote}))


if __name__ == "__main__":
    asyncio.run(main())
