"""The real application on a real database, called over HTTP as a client would."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from stackyn_server import config
from stackyn_server.api.application import create_app
from stackyn_server.api.runner import ApiRunner
from stackyn_server.api.services import Services
from stackyn_server.domain.ids import AppId, UserId
from stackyn_server.engine.client import Engine
from stackyn_server.journal.journal import Journal
from stackyn_server.operations.metrics import Metrics
from stackyn_server.operations.readiness import Readiness
from stackyn_server.security.keys import Keys
from stackyn_server.security.passwords import Passwords
from stackyn_server.security.sealing import Sealer
from stackyn_server.services.billing import Billing
from stackyn_server.services.mail import MailQueue
from stackyn_server.store import accounts
from stackyn_server.store.accounts import NewAccount
from stackyn_server.store.database import Connection, Database
from stackyn_server.wiring import build_services

PASSWORD = "correct horse battery"
OPERATORS_TOKEN = "of-the-token-file"
REPOSITORY = "https://git.example.test/owner/repository.git"

KEYS = Keys(signing=b"s" * 32, sealing={1: b"k" * 32})
PASSWORDS = Passwords()

# Every test asks from one address.
GENEROUS = config.RatesSettings(
    authentication_per_address="10000/minute",
    authentication_per_account="1000/minute",
    wrong_tokens_per_address="10000/minute",
    free_failures=1000,
)

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Epoch:
    """The epoch of a database in which no server has led yet."""

    epoch: int = 0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Any
    text: str
    json: Any


@dataclass(frozen=True)
class Person:
    """Somebody with an account; `token` is None for nobody."""

    platform: Platform
    id: UserId | None = None
    email: str = ""
    token: str | None = field(default=None, repr=False)

    async def call(self, method: str, path: str, **options: Any) -> Answer:
        headers = dict(options.pop("headers", {}))
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        url = URL(path, encoded=True)
        async with self.platform.client.request(method, url, headers=headers, **options) as response:
            return await _answer(response)

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.call("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Answer:
        return await self.call("POST", path, **options)

    async def delete(self, path: str, **options: Any) -> Answer:
        return await self.call("DELETE", path, **options)

    async def api_token(self, *scopes: str, **body: Any) -> Person:
        """Make an API token (without scopes: of the usual ones), and return the program that uses it."""
        wanted = {"name": "ci", **({"scopes": scopes} if scopes else {}), **body}
        answer = await self.post("/api/v1/tokens", json=wanted)
        assert answer.status == 201, answer.text
        return Person(self.platform, self.id, self.email, answer.json["token"])

    async def new_app(self, name: str = "", **body: Any) -> AppId:
        """Create an app through the API and return its id."""
        name = name or f"app {next(_numbers)}"
        answer = await self.post("/api/v1/apps", json={"name": name, "repo_url": REPOSITORY, **body})
        assert answer.status == 201, answer.text
        return AppId(int(answer.json["app"]["id"]))


@dataclass
class Platform:
    """A running API with its parts."""

    client: TestClient[Any, Any]
    services: Services
    database: Database
    settings: config.Settings
    ready: Readiness
    journal: Journal
    billing: Billing
    engine: Engine

    @property
    def nobody(self) -> Person:
        return Person(self)

    async def person(
        self,
        *,
        email: str = "",
        password: str | None = PASSWORD,
        plan: str = "pro",
        signed_in_by_code: bool = True,
        **row: Any,
    ) -> Person:
        """Make an account and sign in, as with a code just now: so passwords can be set and tokens made."""
        email = email or f"person-{next(_numbers)}@example.test"
        password_hash = await _hash(password) if password else None
        async with self.database.transaction() as connection:
            account = await accounts.insert(
                connection,
                NewAccount(
                    email=email,
                    plan=plan,
                    password_hash=password_hash,
                    **{"email_verified": True, **row},
                ),
            )
            proved_at = datetime.now(UTC) if signed_in_by_code else None
            token = await self.services.sessions.open(connection, account, proved_at=proved_at)
        return Person(self, account.id, email, token)

    async def execute(self, statement: str, *arguments: Any) -> None:
        async with self.database.connection() as connection:
            await connection.execute(statement, *arguments)

    async def value(self, statement: str, *arguments: Any) -> Any:
        async with self.database.connection() as connection:
            return await connection.fetchval(statement, *arguments)


class ApiServer(TestServer):
    """A test server with the runner that `server.py` uses."""

    def __init__(self, app: web.Application, settings: config.ServerSettings) -> None:
        super().__init__(app)
        self._settings = settings

    async def _make_runner(self, **options: Any) -> ApiRunner:
        return ApiRunner(self.app, ("*",), self._settings, **options)


@pytest.fixture(autouse=True)
def records() -> Iterator[list[Any]]:
    """The log records of the test. Rendering a traceback would read source files on the event loop."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@asynccontextmanager
async def launching(database: Database, tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Start APIs on one database, each with chosen tables of settings: `await launch(rates=…)`."""
    started: list[TestClient[Any, Any]] = []

    async def start(**tables: Any) -> Platform:
        settings = config.Settings(
            **{"server": config.ServerSettings(data_dir=tmp_path), "rates": GENEROUS, **tables}
        )
        engine = Engine(settings.engine, settings.network, "contract-test")
        journal = Journal(database, settings.builds)
        mail = MailQueue(Sealer(KEYS.sealing))
        billing = Billing(settings, Epoch(), mail)
        platform: Platform

        async def health() -> Readiness:
            return platform.ready

        metrics = Metrics(database, health, lambda: None, token=OPERATORS_TOKEN, settled_after_seconds=0)
        services = build_services(
            settings, database, Epoch(), KEYS, engine, journal, mail, billing, metrics, health, PASSWORDS
        )
        client = TestClient(ApiServer(create_app(services, settings), settings.server))
        await client.start_server()
        started.append(client)
        ready = Readiness(True, {"database": "ok"})
        platform = Platform(client, services, database, settings, ready, journal, billing, engine)
        return platform

    yield start
    for client in started:
        await client.close()


@pytest.fixture
async def launch(database: Database, tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    async with launching(database, tmp_path) as start:
        yield start


@pytest.fixture
async def platform(launch: Callable[..., Any]) -> Platform:
    """The API with the shipped settings, rate limits raised."""
    started: Platform = await launch()
    return started


class Statements(list[str]):
    """What the database is asked, in order."""

    @contextmanager
    def of(self) -> Iterator[Statements]:
        """Those of the block alone."""
        before = len(self)
        block_statements = Statements()
        yield block_statements
        block_statements.extend(self[before:])


@pytest.fixture
def statements(database: Database, monkeypatch: pytest.MonkeyPatch) -> Statements:
    """All that the server asks of its database from now on."""
    asked = Statements()
    connect = database.connection

    @asynccontextmanager
    async def listened_to() -> AsyncIterator[Connection]:
        async with connect() as connection:
            listener: Any = connection
            with listener.query_logger(lambda record: asked.append(record.query)):
                yield connection

    monkeypatch.setattr(database, "connection", listened_to)
    return asked


_hashes: dict[str, str] = {}


async def _hash(password: str) -> str:
    """Hash each password once: most tests only need somebody to be signed in."""
    if password not in _hashes:
        _hashes[password] = await PASSWORDS.hash(password)
    return _hashes[password]


async def _answer(response: ClientResponse) -> Answer:
    text = await response.text()
    is_json = response.content_type == "application/json" and text
    return Answer(response.status, response.headers, text, await response.json() if is_json else None)
