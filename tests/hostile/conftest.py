"""Stages for the attackers. Each is set up once for all rows of its tables."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import structlog.testing

from stackyn_server import config
from stackyn_server.store.database import Database
from tests.conftest import fresh_database
from tests.contract.conftest import launching
from tests.firebase import served
from tests.hostile.api_stage import ApiStage, api_stage


@pytest.fixture(autouse=True)
def records() -> Iterator[list[Any]]:
    """The log records of the test. Rendering a traceback would read source files on the event loop."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture(scope="module")
async def api(
    postgres_url: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ApiStage]:
    """The API as it is shipped."""
    async with fresh_database(postgres_url, template_database) as url, served() as (google, firebase):
        database = await Database.open(url, config.DatabaseSettings(), application_name="stackyn test")
        try:
            async with (
                launching(database, tmp_path_factory.mktemp("api")) as launch,
                api_stage(launch, google, config.FirebaseSettings(**firebase)) as stage,
            ):
                yield stage
        finally:
            await database.close()
