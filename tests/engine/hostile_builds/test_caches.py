"""What one tenant's build leaves in its cache, another tenant's build doesn't find."""

from __future__ import annotations

import uuid

import pytest

from stackyn_server.domain.ids import UserId
from stackyn_server.engine.builder import caches
from stackyn_server.engine.builder.builder import Builder
from stackyn_server.engine.builder.caches import Cache
from stackyn_server.engine.client import Engine
from tests.engine.hostile_builds.attack import Make, run

MOUNT = "RUN --mount=type=cache,id=packages,target=/packages"
POISON = f"{MOUNT} echo {{poison}} > /packages/setup"
TRUST = f"{MOUNT} echo found: $(cat /packages/setup)"


async def test_cache_mount_can_not_be_poisoned_by_a_neighbour(
    engine: Engine,
    base_image: str,
    builder: Builder,
    build_request: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    poison = uuid.uuid4().hex

    async def found_after_poisoning() -> list[str]:
        attacker, victim = UserId(uuid.uuid4()), UserId(uuid.uuid4())
        poisoning = POISON.format(poison=poison)
        left = await run(builder, build_request(tenant=attacker), f"FROM {base_image}\n{poisoning}\n")
        assert left.error is None
        result = await run(builder, build_request(tenant=victim), f"FROM {base_image}\n{TRUST}\n")
        return result.lines

    assert "found:" in await found_after_poisoning()

    shared = await caches.ensure(engine, UserId(uuid.uuid4()), 0)

    async def shared_by_all(*_: object) -> Cache:
        return shared

    monkeypatch.setattr(caches, "ensure", shared_by_all)
    assert f"found: {poison}" in await found_after_poisoning(), "open: both have one volume"
