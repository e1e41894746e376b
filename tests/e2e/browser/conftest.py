"""Two real servers, each with a pair of built web clients on its host names, and a browser in front.

The clients are published elsewhere and nothing of them is here: build them with STACKYN_TEST_API as their
VITE_API_BASE_URL, and name the folders in STACKYN_TEST_CONSOLE, STACKYN_TEST_CMS, STACKYN_TEST_LEGACY_CONSOLE and
STACKYN_TEST_LEGACY_CMS. Without them these tests have nothing to drive.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.browser.chromium import PROGRAM, Browser, chromium
from tests.firebase import Google, served
from tests.git_server import GitServer
from tests.server_process import ServerProcess, running

API = os.environ.get("STACKYN_TEST_API", "http://api.localhost:18580")
FOLDERS = {
    "current": ("STACKYN_TEST_CONSOLE", "STACKYN_TEST_CMS"),
    "legacy": ("STACKYN_TEST_LEGACY_CONSOLE", "STACKYN_TEST_LEGACY_CMS"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [name for names in FOLDERS.values() for name in names if name not in os.environ]
    driving = {"current", "legacy", "setup"}
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.full)
            item.add_marker(pytest.mark.timeout(600))
            if not Path(PROGRAM).exists():
                item.add_marker(pytest.mark.skip(reason="there is no Chromium here"))
            if missing and driving.intersection(getattr(item, "fixturenames", ())):
                item.add_marker(
                    pytest.mark.skip(reason=f"the built clients are not here: {', '.join(missing)}")
                )


@dataclass(frozen=True)
class BrowserSetup:
    """A server, its clients' addresses, and what else is around it."""

    server: ServerProcess
    browser: Browser
    google: Google

    @property
    def console(self) -> str:
        return f"http://console.localhost:{self.server.ingress_port}"

    @property
    def cms(self) -> str:
        return f"http://cms.localhost:{self.server.ingress_port}/cms"


@asynccontextmanager
async def _setup(console: str, cms: str) -> AsyncIterator[BrowserSetup]:
    async with (
        served() as (google, firebase),
        running(
            frontend={"console": os.environ[console], "cms": os.environ[cms]},
            auth={"development_codes": True},
            **{"auth.firebase": firebase},
            billing={"provider": "lemonsqueezy", "test_endpoint": True},
        ) as server,
        chromium(resolve={urlsplit(API).netloc: f"127.0.0.1:{server.ingress_port}"}) as browser,
    ):

        async def is_served() -> bool:
            return (await server.visit("console"))[0] == 200 and (await server.visit("api", "/health"))[
                0
            ] == 200

        await server.until(is_served, 30, "the ingress serves the clients and the API")
        yield BrowserSetup(server, browser, google)


@pytest.fixture(scope="session")
async def current() -> AsyncIterator[BrowserSetup]:
    async with _setup(*FOLDERS["current"]) as setup:
        yield setup


@pytest.fixture(scope="session")
async def legacy() -> AsyncIterator[BrowserSetup]:
    async with _setup(*FOLDERS["legacy"]) as setup:
        yield setup


@pytest.fixture(scope="session")
async def git(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GitServer]:
    async with GitServer(tmp_path_factory.mktemp("git")) as git:
        yield git
