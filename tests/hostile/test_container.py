"""An app in its container reaches no neighbour, nothing of this machine, and no more of the kernel than it needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_spec import ContainerSpec
from tests.clean_up import remove_containers
from tests.engine.conftest import base_image, engine, new_spec  # noqa: F401
from tests.hostile import container
from tests.hostile.attempts import Attempt, Record, expect_only_open, rows
from tests.hostile.container import ContainerStage

ATTACKER = "container"


@pytest.fixture(scope="module")
async def stage(
    engine: Engine,  # noqa: F811
    new_spec: Callable[..., ContainerSpec],  # noqa: F811
) -> AsyncIterator[ContainerStage]:
    async with container.container_stage(engine, new_spec) as stage:
        yield stage
    await remove_containers(engine)


@rows(container.attempts())
async def test_an_app_stays_in_its_container(
    attempt: Attempt[ContainerStage], stage: ContainerStage, record_property: Record
) -> None:
    await expect_only_open(attempt, ATTACKER, stage, record_property)
