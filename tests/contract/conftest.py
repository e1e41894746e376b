"""The real application on a real database, called over HTTP as a client would."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from stackyn_server import config
from stackyn_server.api.application import create_app
from stackyn_server.api.runner import ApiRunner
from stackyn_server.api.services import Services
from stackyn_server.domain.ids import AppId, UserId
from stackyn_server.engine.client import Engine
from stackyn_server.gateways.firebase import Firebase
from stackyn_server.gateways.firebase_admin import FirebaseAdmin
from stackyn_server.journal.journal import Journal
from stackyn_server.operations.metrics import Metrics
from stackyn_server.operations.readiness import Readiness
from stackyn_server.security.keys import Keys
from stackyn_server.security.passwords import Passwords
from stackyn_server.security.sealing import Sealer
from stackyn_server.security.tokens import Tokens
from stackyn_server.services.accounts import Accounts
from stackyn_server.services.administration import Administration
from stackyn_server.services.api_tokens import ApiTokens
from stackyn_server.services.apps import Apps
from stackyn_server.services.billing import Billing
from stackyn_server.services.billing_simulation import BillingSimulation
from stackyn_server.services.codes import Codes
from stackyn_server.services.deployments import Deployments
from stackyn_server.services.events import Events
from stackyn_server.services.firebase_accounts import FirebaseAccounts
from stackyn_server.services.identity import Identity
from stackyn_server.services.logs import Logs
from stackyn_server.services.mail import MailQueue
from stackyn_server.services.progress import ProgressReader
from stackyn_server.services.registries import Registries
from stackyn_server.services.sessions import Sessions
from stackyn_server.services.sign_up import SignUp
from stackyn_server.services.usage import UsageReader
from stackyn_server.services.variables import Variables
from stackyn_server.services.webhooks import BillingWebhooks
from stackyn_server.store import accounts
from stackyn_server.store.accounts import NewAccount
from stackyn_server.store.database import Database

PASSWORD = "correct horse battery"
OPERATORS_TOKEN = "of-the-token-file"
REPOSITORY = "https://git.example.test/owner/repository.git"

KEYS = Keys(signing=b"s" * 32, sealing={1: b"k" * 32})
PASSWORDS = Passwords()

# Every test asks from one address.
GENEROUS = config.RatesSettings(
    authentication_per_address="10000/minute", authentication_per_account="1000/minute"
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

    @property
    def nobody(self) -> Person:
        return Person(self)

    async def person(
        self, *, email: str = "", password: str | None = PASSWORD, plan: str = "pro", **row: Any
    ) -> Person:
        """Make an account, and sign in if it has a password."""
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
            token = await self.services.sessions.open(connection, account)
        return Person(self, account.id, email, token)

    async def execute(self, statement: str, *arguments: Any) -> None:
        async with self.database.connection() as connection:
            await connection.execute(statement, *arguments)

    async def value(self, statement: str, *arguments: Any) -> Any:
        async with self.database.connection() as connection:
            return await connection.fetchval(statement, *arguments)


class ApiServer(TestServer):
    """A test server with the runner that `server.py` uses."""

    async def _make_runner(self, **options: Any) -> ApiRunner:
        return ApiRunner(self.app, ("*",), **options)


@pytest.fixture(autouse=True)
def records() -> Iterator[list[Any]]:
    """The log records of the test. Rendering a traceback would read source files on the event loop."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture
async def launch(database: Database, tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Start the API with chosen tables of settings: `await launch(rates=…)`."""
    started: list[TestClient[Any, Any]] = []

    async def start(**tables: Any) -> Platform:
        settings = config.Settings(
            **{"server": config.ServerSettings(data_dir=tmp_path), "rates": GENEROUS, **tables}
        )
        sessions = Sessions(database, settings, Tokens(KEYS.signing, KEYS.legacy_signing))
        sealer = Sealer(KEYS.sealing)
        engine = Engine(settings.engine, settings.network, "contract-test")
        journal = Journal(database, settings.builds)
        mail = MailQueue(sealer)
        billing = Billing(settings, Epoch(), mail)
        codes = Codes(database, settings, mail, KEYS.derive("codes"))
        platform: Platform

        async def health() -> Readiness:
            return platform.ready

        apps = Apps(database, settings, sealer, Epoch())
        deployments = Deployments(database, settings, Epoch())
        api_tokens = ApiTokens(database)
        known = settings.auth.firebase
        firebase = FirebaseAccounts(
            database, settings, Firebase(known), FirebaseAdmin(known), sessions, billing
        )
        services = Services(
            accounts=Accounts(database, settings, PASSWORDS, sessions),
            sign_up=SignUp(database, settings, PASSWORDS, sessions, codes, billing),
            sessions=sessions,
            identity=Identity(sessions, api_tokens, firebase),
            firebase=firebase,
            billing_webhooks=BillingWebhooks(database, settings, billing),
            billing_simulation=BillingSimulation(database, settings, billing),
            progress=ProgressReader(database, settings),
            api_tokens=api_tokens,
            administration=Administration(database, settings, Epoch(), apps, deployments, billing),
            apps=apps,
            deployments=deployments,
            variables=Variables(database, settings.apps, sealer),
            registries=Registries(database, settings, sealer),
            logs=Logs(database, settings, engine, journal),
            events=Events(database),
            usage=UsageReader(database),
            metrics=Metrics(database, health, lambda: None, token=OPERATORS_TOKEN, settled_after_seconds=0),
            health=health,
        )
        client = TestClient(ApiServer(create_app(services, settings)))
        await client.start_server()
        started.append(client)
        ready = Readiness(True, {"database": "ok"})
        platform = Platform(client, services, database, settings, ready, journal, billing)
        return platform

    yield start
    for client in started:
        await client.close()


@pytest.fixture
async def platform(launch: Callable[..., Any]) -> Platform:
    """The API with the shipped settings, rate limits raised."""
    started: Platform = await launch()
    return started


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
