"""What an app used, as its owner is told."""

from __future__ import annotations

import pytest

from tests.contract.conftest import Platform
from tests.contract.test_conventions import is_error

INSERT = (
    "INSERT INTO sample (app, taken_at, cpu, memory_bytes, received_bytes, sent_bytes, disk_bytes) "
    "SELECT $1, now() - make_interval(secs => s), 0.25, 1000 + s, 10, 20, 30 FROM generate_series(1, $2, $3) AS s"
)


async def test_an_app_that_never_ran_has_no_points(platform: Platform) -> None:
    person = await platform.person()
    app = await person.new_app()
    answer = await person.get(f"/api/v1/apps/{app}/metrics")
    assert answer.json == {"app_id": app, "range": "1h", "step_seconds": 60, "points": []}


@pytest.mark.parametrize(
    ("time_range", "hours"), [("1h", 1), ("6h", 6), ("24h", 24), ("7d", 168), ("30d", 720)]
)
async def test_every_range_has_a_bounded_number_of_points(
    platform: Platform, time_range: str, hours: int
) -> None:
    person = await platform.person()
    app = await person.new_app()
    every = 2 * hours  # seconds: ten samples for a point or more, and as many that are too old
    await platform.execute(INSERT, app, 2 * hours * 3600, every)
    answer = await person.get(f"/api/v1/apps/{app}/metrics?range={time_range}")
    assert answer.status == 200 and answer.json["range"] == time_range
    points = answer.json["points"]
    assert 60 <= len(points) <= 181
    assert sorted(points, key=lambda point: point["at"]) == points
    assert points[-1]["at"].endswith("Z")
    assert set(points[0]) == {"at", "cpu", "memory_bytes", "disk_bytes", "received_bytes", "sent_bytes"}
    assert points[1]["cpu"] == 0.25


@pytest.mark.parametrize("time_range", ["", "2h", "1H", "forever", "1h,6h", "%00"])
async def test_another_range_is_refused_with_those_that_exist(platform: Platform, time_range: str) -> None:
    person = await platform.person()
    app = await person.new_app()
    answer = await person.get(f"/api/v1/apps/{app}/metrics?range={time_range}")
    assert is_error(answer, 400, "INVALID_REQUEST")
    assert answer.json["error"] == "range must be '1h', '6h', '24h', '7d' or '30d'."
