"""The engine is stopped, killed, and loses its power: every app comes back on its own host name, nobody else's."""

from __future__ import annotations

import pytest

from tests.own_engine import in_namespaces

SECONDS = 900


@pytest.mark.full
@pytest.mark.timeout(SECONDS + 60)
def test_every_app_is_back_on_its_host_after_an_engine_restart(capsys: pytest.CaptureFixture[str]) -> None:
    output = in_namespaces("tests.bench.reconcile.engine_restart", seconds=SECONDS)
    with capsys.disabled():
        print(f"\n{output}")
