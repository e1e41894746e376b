"""A visitor is who the proxy says, sends what the proxy sees, and reaches apps alone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from stackyn_server import config
from stackyn_server.store.database import Database
from tests.conftest import fresh_database
from tests.hostile import visitor
from tests.hostile.attempts import Attempt, Record, expect_only_open, rows
from tests.hostile.visitor import VisitorStage
from tests.integration.ingress.conftest import making_setups

ATTACKER, OVER_HTTPS = "visitor", "visitor over HTTPS"

Row = Attempt[VisitorStage]


@pytest.fixture(scope="module")
async def stage(
    postgres_url: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[VisitorStage]:
    async with fresh_database(postgres_url, template_database) as url:
        database = await Database.open(url, config.DatabaseSettings(), application_name="stackyn test")
        try:
            async with (
                making_setups(database, tmp_path_factory.mktemp("visitor")) as make_setup,
                visitor.visitor_stage(make_setup) as stage,
            ):
                yield stage
        finally:
            await database.close()


@rows([*visitor.CLAIMING, *visitor.BEYOND, *visitor.WAKING, *visitor.OVER_HTTP2])
async def test_a_visitor_reaches_apps_alone(
    attempt: Row, stage: VisitorStage, record_property: Record
) -> None:
    await expect_only_open(attempt, ATTACKER, stage, record_property)


@rows(visitor.CLAIMING)
async def test_a_visitor_over_https_claims_nothing_either(
    attempt: Row, stage: VisitorStage, record_property: Record
) -> None:
    await expect_only_open(attempt, OVER_HTTPS, visitor.over_tls(stage), record_property)


@rows(visitor.SMUGGLING)
async def test_no_request_hides_behind_a_trusted_proxy(
    attempt: Row, stage: VisitorStage, record_property: Record
) -> None:
    async with visitor.behind_trusted(stage) as behind:
        await expect_only_open(attempt, ATTACKER, behind, record_property)
