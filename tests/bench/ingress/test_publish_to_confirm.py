"""Time between the commit of a switch and its confirmation, by the number of apps on the server."""

from __future__ import annotations

import statistics
import time

import pytest

from tests.bench.machine import machine
from tests.integration.ingress import rows
from tests.integration.ingress.conftest import IngressSetup

SWITCHES = 25
LONGEST_SECONDS = 3.0  # on a loaded machine; far below [deadlines] switching


@pytest.mark.full
@pytest.mark.parametrize("apps", [10, 100, 1000])
async def test_publish_to_confirm(setup: IngressSetup, apps: int, capsys: pytest.CaptureFixture[str]) -> None:
    await rows.add_many(setup.database, apps - 1, port=setup.port)
    app, instance = await rows.add_app(setup.database, "shop", port=setup.port, seat=0)
    publisher = setup.publisher()
    await publisher.apply({"shop.example.test": instance})
    written, confirmed = [], []

    for number in range(1, SWITCHES + 1):
        instance = await rows.add_instance(setup.database, app, slot=number % 2, port=setup.port)
        await rows.want(setup.database, app, instance)
        began = time.monotonic()
        taken = await publisher.publish()
        written.append(time.monotonic() - began)
        await publisher.confirm(taken, {"shop.example.test": instance})
        confirmed.append(time.monotonic() - began)

    size = setup.proxy.routes.stat().st_size
    on = await machine()
    with capsys.disabled():
        print(
            f"\n{on}\n{apps} apps ({size // 1024} KiB): written {statistics.median(written):.3f} s, "
            f"confirmed {statistics.median(confirmed):.3f} s (median), {_p95(confirmed):.3f} s (p95)"
        )
    assert _p95(confirmed) < LONGEST_SECONDS


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]
