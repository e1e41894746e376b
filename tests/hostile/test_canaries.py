"""Every secret is a marker. After a full life, failures and a killed server included, a marker is nowhere but in the
environment of the running container.

The search is shown to find things: what isn't secret has a marker too, and is found in each of the same places.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.commands import commanding_app
from tests.git_server import GitServer
from tests.hostile.places import places_of, text_below, volumes
from tests.patience import patient
from tests.server_process import ServerProcess, containers_of, docker, running
from tests.tiny import DOCKERFILE, SERVE, Tree, tiny_app

OPEN = "not-secret-" + secrets.token_hex(8)

# A step that has the secret and does nothing with it; a file that everybody may see.
USING = DOCKERFILE.replace(
    "USER 1000",
    "COPY open /open\n"
    "RUN --mount=type=secret,id=SECRET,env=SECRET --mount=type=cache,target=/cache "
    '["/bin/busybox", "sh", "-c", "test -n \\"$SECRET\\" && cp /open /cache/open && cat /open"]\nUSER 1000',
)
FAILING = USING.replace("cat /open", "cat /open && exit 3")
SAYING = f"echo {OPEN}\n{SERVE}"
CRASHING = f"echo {OPEN}\nulimit -c unlimited\nkill -SEGV $$\n"


@dataclass
class Life:
    """What was set, by what it is, and what was seen of it, by where."""

    secrets: dict[str, str] = field(default_factory=dict)
    seen: dict[str, str] = field(default_factory=dict)

    def secret(self, what: str) -> str:
        marker = self.secrets.setdefault(what, f"canary-{secrets.token_hex(12)}")
        return marker

    def found(self, text: str) -> list[str]:
        return [what for what, marker in self.secrets.items() if marker in text]


class Tenant:
    """Calls the API and keeps every answer."""

    def __init__(self, server: ServerProcess, life: Life, token: str = "") -> None:
        self._server, self._life, self.token = server, life, token

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        raw: bytes | None = None,
        token: str | None = None,
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token or self.token}"} if token or self.token else {}
        data = json.dumps(body).encode() if raw is None and body is not None else raw
        timeout = aiohttp.ClientTimeout(total=patient(15))
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, self._server.api_url + path, data=data, headers=headers) as answer,
        ):
            text = await answer.text()
        is_own_page = method == "GET" and path.endswith(
            "/env"
        )  # the one page that shows values, to their owner
        if not is_own_page:
            self._life.seen[f"{method} {path} {len(self._life.seen)}"] = text
        return answer.status, json.loads(text) if text.startswith(("{", "[")) else text

    async def create(self, name: str, url: str, **variables: str) -> tuple[int, int]:
        listed = [{"key": key, "value": value} for key, value in variables.items()]
        status, created = await self.call(
            "POST", "/api/v1/apps", {"name": name, "repo_url": url, "env_vars": listed}
        )
        assert status == 201, created
        return int(created["app"]["id"]), int(created["deployment"]["id"])

    async def ended(self, deployment: int, expected: str) -> None:
        view: dict[str, Any] = {}

        async def has_ended() -> bool:
            nonlocal view
            _, view = await self.call("GET", f"/api/v1/deployments/{deployment}")
            return view["status"] not in ("pending", "building")

        await self._server.until(has_ended, 90, f"deployment {deployment} ends")
        assert view["status"] == expected, view
        await self.call("GET", f"/api/v1/deployments/{deployment}/logs")


@pytest.fixture(scope="module")
async def git(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GitServer]:
    async with GitServer(tmp_path_factory.mktemp("git")) as git:
        yield git


def _tree(dockerfile: str, start: str) -> Tree:
    return {**tiny_app(OPEN, start=start, dockerfile=dockerfile), "open": OPEN}


@pytest.mark.full
@pytest.mark.timeout(600)
async def test_no_secret_is_anywhere_but_in_its_container(git: GitServer, tmp_path: Path) -> None:
    life, began = Life(), time.time()
    token_file = tmp_path / "metrics-token"
    token_file.write_text(life.secret("token of the operator's metrics"))
    async with running(metrics={"token_file": str(token_file)}) as server:
        before = await volumes()
        tenant = await _live(server, git, life)
        container = await _running_container(server, life)
        await _look_around(server, tenant, life)
        places = {f"API: {path}": text for path, text in life.seen.items()}
        places |= await places_of(server, began, await volumes() - before, [OPEN, *life.secrets.values()])
        _expect_the_search_finds(server, places)
        _expect_no_secret(life, places)
        await _expect_no_core_dumps(server)
        kept = Path((await docker("info", "-f", "{{.DockerRootDir}}")).strip(), "containers", container)
        assert life.found(await asyncio.to_thread(text_below, kept)), "the engine keeps it while it runs"
        await _delete_everything(server, tenant)
        assert not life.found(await asyncio.to_thread(text_below, kept)), "and no longer"


def _expect_no_secret(life: Life, places: Mapping[str, str]) -> None:
    found = {place: life.found(text) for place, text in places.items() if life.found(text)}
    assert not found, f"secrets were found: {found}"


def _expect_the_search_finds(server: ServerProcess, places: Mapping[str, str]) -> None:
    """Each kind of place has something that is no secret, else nothing is shown."""
    open_text = dict.fromkeys(("image", "cache", "database", "API: GET", "API: page"), OPEN)
    for kind, expected in {**open_text, "log of": server.installation}.items():
        texts = [text for place, text in places.items() if place.startswith(kind)]
        assert any(expected in text for text in texts), f"the search finds nothing in {len(texts)} of {kind}"


async def _expect_no_core_dumps(server: ServerProcess) -> None:
    """The server has keys and opened secrets in its memory, and so has its database."""
    assert server.process is not None
    limits = await asyncio.to_thread(Path(f"/proc/{server.process.pid}/limits").read_text)
    assert "Max core file size 0 0 bytes" in " ".join(limits.split())


# The life


async def _live(server: ServerProcess, git: GitServer, life: Life) -> Tenant:
    admin = Tenant(server, life, server.token)
    email = f"{OPEN}@example.test"
    password = life.secret("password of an account")
    status, signed_up = await admin.call("POST", "/api/auth/signup", {"email": email, "password": password})
    assert status == 201, signed_up
    await admin.call("PATCH", f"/admin/users/{signed_up['user']['id']}/plan", {"plan": "pro"})
    tenant = Tenant(server, life, signed_up["token"])
    life.secrets["token of a session"] = signed_up["token"]
    life.seen.clear()  # both were handed out just now, as they must be
    await _be_refused(tenant, email, life)
    await _keep_credentials(tenant, password, life)

    works, _ = await git.publish("works", _tree(USING, SAYING))
    app, deployment = await tenant.create("works", works, SECRET=life.secret("variable"))
    await tenant.ended(deployment, "running")
    await tenant.call(
        "POST", f"/api/v1/apps/{app}/env", {"key": "LATER", "value": life.secret("later variable")}
    )
    life.seen = {
        path: text for path, text in life.seen.items() if not path.startswith(f"POST /api/v1/apps/{app}/env")
    }
    _, again = await tenant.call("POST", f"/api/v1/apps/{app}/redeploy")
    await tenant.ended(int(again["deployment"]["id"]), "running")

    failing: dict[str, Tree] = {
        "fails": _tree(FAILING, SAYING),
        "crashes": _tree(USING, CRASHING),
        "refuses": {**commanding_app(OPEN, "false"), "open": OPEN},
        "lacks": {"Dockerfile": f"FROM scratch\nCOPY {OPEN} /\n", "open": OPEN},
    }
    for name, tree in failing.items():
        url, _ = await git.publish(name, tree)
        _, deployment = await tenant.create(name, url, SECRET=life.secret(f"variable of what {name}"))
        await tenant.ended(deployment, "failed")

    await _be_killed(server, tenant, git, life)
    return tenant


async def _be_refused(tenant: Tenant, email: str, life: Life) -> None:
    """What is sent and not taken is not repeated either."""
    guess = {"email": email, "password": life.secret("wrong password")}
    assert (await tenant.call("POST", "/api/auth/login", guess, token=""))[0] == 401
    assert (await tenant.call("GET", "/api/apps", token=life.secret("wrong token")))[0] == 401
    address = f"https://user:{life.secret('password in an address')}@git.example.test/a/b"
    assert (await tenant.call("POST", "/api/v1/apps", {"name": "x", "repo_url": address}))[0] == 400
    broken = f'{{"name": "x", "env_vars": [{{"key": "A", "value": "{life.secret("cut-off body")}"'
    assert (await tenant.call("POST", "/api/v1/apps", raw=broken.encode()))[0] == 400
    wrong = {
        "name": "x",
        "repo_url": "https://git.example.test/a/b",
        "env_vars": [{"key": "A-B", "value": life.secret("variable with a wrong key")}],
    }
    assert (await tenant.call("POST", "/api/v1/apps", wrong))[0] == 400
    listed = {"name": "x", "repo_url": [life.secret("address of a wrong type")]}
    assert (await tenant.call("POST", "/api/v1/apps", listed))[0] == 400


async def _keep_credentials(tenant: Tenant, password: str, life: Life) -> None:
    body = {"host": "registry.example.test", "user": "ada", "password": life.secret("password of a registry")}
    assert (await tenant.call("POST", "/api/v1/registries", body))[0] == 200
    new = {"name": "program", "current_password": password}
    status, made = await tenant.call("POST", "/api/v1/tokens", new)
    assert status == 201, made
    life.secrets["access token"] = made["token"]
    life.seen.clear()  # it was shown once, as it must be


async def _be_killed(server: ServerProcess, tenant: Tenant, git: GitServer, life: Life) -> None:
    """The server dies while it builds, and its next life goes on with that."""
    waits = USING.replace("cat /open", "cat /open && sleep 2")
    url, _ = await git.publish("killed", _tree(waits, SAYING))
    app, deployment = await tenant.create("killed", url, SECRET=life.secret("variable of a killed server"))

    async def builds() -> bool:
        _, logs = await tenant.call("GET", f"/api/v1/deployments/{deployment}/logs")
        return "RUN" in (logs["build_log"] or "")

    await server.until(builds, 60, "the step runs")
    await server.kill()
    await server.start()
    await tenant.ended(deployment, "running")
    await tenant.call("POST", f"/api/v1/apps/{app}/stop")


async def _running_container(server: ServerProcess, life: Life) -> str:
    """The one place where the variables are. Without them there, nothing would be shown."""
    for line in (await docker("ps", "-q", "--filter", "label=io.stackyn.role=app")).split():
        environment = await docker("exec", line, "/bin/busybox", "env")
        if life.secret("variable") in environment and life.secret("later variable") in environment:
            return (await docker("inspect", "-f", "{{.Id}}", line)).strip()
    raise AssertionError("no container runs with its variables")


# What everybody sees


async def _look_around(server: ServerProcess, tenant: Tenant, life: Life) -> None:
    admin = Tenant(server, life, server.token)
    for path in ("/admin/users", "/admin/apps", "/api/apps", "/metrics", "/health/ready", "/openapi.json"):
        await admin.call("GET", path)
    _, apps = await tenant.call("GET", "/api/apps")
    for app in apps:
        path = f"/api/v1/apps/{app['id']}"
        for page in (
            "",
            "/deployments",
            "/releases",
            "/events",
            "/metrics",
            "/verify",
            "/logs/build",
            "/logs/runtime",
        ):
            await tenant.call("GET", path + page)
        for host in (app["slug"], "nobody"):
            status, text = await server.visit(host, "/" if host == "works" else "/nothing-here")
            life.seen[f"page {host} {status}"] = text
    for path in ("/api/user/me", "/api/v1/tokens", "/api/v1/registries"):
        await tenant.call("GET", path)


async def _delete_everything(server: ServerProcess, tenant: Tenant) -> None:
    _, apps = await tenant.call("GET", "/api/apps")
    for app in apps:
        await tenant.call("DELETE", f"/api/v1/apps/{app['id']}")

    async def are_gone() -> bool:
        return not any([await containers_of(server, int(app["id"])) for app in apps])

    await server.until(are_gone, 60, "the containers are removed")
