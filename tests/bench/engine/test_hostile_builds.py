"""How soon an attack of a build ends with the right reason: 10 seconds at the most after its limit is passed."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from stackyn_server import config
from stackyn_server.engine.builder.builder import Builder
from tests.engine.hostile_builds.attack import Make, run
from tests.engine.hostile_builds.test_fetches import ALL, FEW, Target
from tests.engine.hostile_builds.test_limits import BOMBS, DISK, Bomb, BombRunner, many_files, one_file

RIGHT_REASON_SECONDS = 10
REAL_BOMBS = {
    "20 GB in one file": Bomb(one_file(20_000), "disk_mb", 8192, 40_000, DISK, "8192 MiB"),
    # A few less than a million, the number that a build may have: the open variant is to reach no limit.
    "20 GB in a million files": Bomb(
        many_files(990_000, 20_400), *("disk_mb", 8192, 40_000, DISK, "8192 MiB")
    ),
    "more than a million files": Bomb(
        many_files(1_200_000, 0), *("max_files", 1_000_000, 3_000_000, DISK, "1000000 files")
    ),
}
ROOM_BYTES = 30 * 1024**3

pytestmark = pytest.mark.full


@pytest.mark.parametrize("name", BOMBS)
async def test_a_bomb_ends_within_10_seconds_of_its_limit(bombs: BombRunner, name: str) -> None:
    assert await bombs.defuse(name, BOMBS[name]) < RIGHT_REASON_SECONDS


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", REAL_BOMBS)
async def test_real_bomb_ends_at_the_limit_of_the_defaults(bombs: BombRunner, name: str) -> None:
    free = shutil.disk_usage(bombs.engine.facts.root).free
    assert free > ROOM_BYTES, f"the open variant needs {ROOM_BYTES} bytes of the disk, and {free} are free"

    # The tests' own limit of the disk is low, and would be reached first.
    builds = bombs.settings.builds.model_copy(update={"disk_mb": config.BuildsSettings().disk_mb})
    settings = bombs.settings.model_copy(update={"builds": builds})
    assert await replace(bombs, settings=settings).defuse(name, REAL_BOMBS[name]) < RIGHT_REASON_SECONDS


@pytest.mark.parametrize(("attack", "place"), [*FEW, *ALL])
async def test_a_fetch_of_what_is_private_fails_within_10_seconds(
    base_image: str, hostile: Builder, build_request: Make, target: Target, attack: str, place: str
) -> None:
    dockerfile = target.dockerfile(attack, place, base_image)
    target.forget()

    result = await run(hostile, build_request(syntax=target.syntax(attack, place)), dockerfile)

    assert result.error is not None and target.contacts == []
    assert result.seconds < RIGHT_REASON_SECONDS
