"""The chaos run as a test: in a network namespace of its own, for the sake of its own engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import patient

PROJECT = Path(__file__).parents[2]
SECONDS = 120
SEEDS = (1, 2)
AFTERWARDS_SECONDS = 240


@pytest.mark.full
@pytest.mark.timeout(SECONDS + AFTERWARDS_SECONDS + 60)
@pytest.mark.parametrize("seed", SEEDS)
def test_rows_api_engine_and_http_agree_after_any_chaos(
    seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    run = subprocess.run(
        [PROJECT / "scripts" / "chaos", "--seed", str(seed), "--seconds", str(SECONDS)],
        env={**os.environ, "STACKYN_PYTHON": sys.executable},
        timeout=patient(SECONDS + AFTERWARDS_SECONDS),
        capture_output=True,
        text=True,
        check=False,
    )
    with capsys.disabled():
        print("\n" + run.stdout.strip())
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-12_000:]
