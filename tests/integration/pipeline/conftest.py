from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from stackyn_server import config
from stackyn_server.journal.journal import Journal
from stackyn_server.store.database import Database
from tests.integration.jobs.conftest import plain_log

__all__ = ["plain_log"]


@pytest.fixture
async def journal(database: Database) -> AsyncIterator[Journal]:
    journal = Journal(database, config.BuildsSettings())
    running = asyncio.create_task(journal.run(), name="journal")
    yield journal
    running.cancel()
    await asyncio.wait([running])
