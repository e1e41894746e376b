from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from stackyn_server import config
from stackyn_server.domain.ids import InstanceId
from stackyn_server.journal.journal import Journal
from stackyn_server.pipeline import context
from stackyn_server.pipeline.teardown.take_down import LastOutput
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


@pytest.fixture
def taken_down(monkeypatch: pytest.MonkeyPatch) -> list[InstanceId]:
    """The instances whose containers were taken down, in order."""
    instances_taken_down: list[InstanceId] = []

    async def take_down(_engine: object, instance: InstanceId, *_: object) -> LastOutput:
        instances_taken_down.append(instance)
        return LastOutput()

    monkeypatch.setattr(context, "take_down", take_down)
    return instances_taken_down
