"""How long a server's API takes to answer what its clients ask most, and how long an app of it takes."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass, field

import aiohttp

from tests.server_process import ServerProcess

# What the pages of the consoles and of the CMS poll, load and search.
BUSIEST = [
    ("GET", "/api/user/me"),
    ("GET", "/api/apps"),
    ("GET", "/api/v1/apps/{app}"),
    ("GET", "/api/v1/apps/{app}/deployments"),
    ("GET", "/api/v1/deployments/{deployment}"),
    ("GET", "/api/v1/deployments/{deployment}/logs"),
    ("GET", "/api/v1/apps/{app}/env"),
    ("POST", "/api/v1/apps/{app}/env"),
    ("GET", "/admin/users?limit=50&search=localhost"),
    ("GET", "/admin/apps?limit=50"),
]
BOUNDLESS = "1000000/minute"
UNLIMITED = {"read_per_user": BOUNDLESS, "write_per_user": BOUNDLESS}  # for [rates]: who measures asks often

Taken = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Served:
    """An app that answers visitors, and its deployment."""

    server: ServerProcess
    name: str
    app: int
    deployment: int


@dataclass(slots=True)
class Measured:
    """Seconds of each answer: of the API by endpoint, and of the app."""

    api: Taken = field(default_factory=lambda: defaultdict(list))
    app: list[float] = field(default_factory=list)

    @property
    def all_of_api(self) -> list[float]:
        return [seconds for taken in self.api.values() for seconds in taken]


async def measured(served: Served, clients: int, rounds: int) -> Measured:
    """Have each client ask for all in turn, one after the other, and meanwhile a visitor for the app's page."""
    result = Measured()
    async with asyncio.TaskGroup() as group:
        visiting = group.create_task(_visit(served, result.app), name="visitor")
        asking = [group.create_task(_ask(served, rounds, result.api), name="client") for _ in range(clients)]
        await asyncio.wait(asking)
        visiting.cancel()
    return result


async def _ask(served: Served, rounds: int, taken: Taken) -> None:
    headers = {"Authorization": f"Bearer {served.server.token}"}
    async with aiohttp.ClientSession(served.server.api_url, headers=headers) as session:
        for _ in range(rounds):
            for method, path in BUSIEST:
                body = {"key": "KEY", "value": "value"} if method == "POST" else None
                began = time.perf_counter()
                address = path.format(app=served.app, deployment=served.deployment)
                async with session.request(method, address, json=body) as answer:
                    await answer.read()
                taken[f"{method} {path.partition('?')[0]}"].append(time.perf_counter() - began)
                assert answer.status == 200, path


async def _visit(served: Served, taken: list[float]) -> None:
    headers = {"Host": f"{served.name}.localhost"}
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{served.server.ingress_port}", headers=headers
    ) as session:
        while True:
            began = time.perf_counter()
            async with session.get("/") as answer:
                await answer.read()
            taken.append(time.perf_counter() - began)
            assert answer.status == 200


def p99(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=100)[-1]


def described(name: str, at_rest: list[float], busy: list[float]) -> str:
    """Return one line: median and p99 in ms at rest, the same when busy, and their ratios."""
    (rest, rest_p99), (now, now_p99) = [
        (statistics.median(seconds), p99(seconds)) for seconds in (at_rest, busy)
    ]
    return (
        f"{name:41} {rest * 1000:6.1f} {rest_p99 * 1000:7.1f}   {now * 1000:6.1f} {now_p99 * 1000:7.1f}"
        f"   ratio {now / rest:.1f} and {now_p99 / rest_p99:.1f}"
    )
