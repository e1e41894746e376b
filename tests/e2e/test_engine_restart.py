"""The engine is stopped, killed, and loses its power: every app comes back on its own host name, nobody else's."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.patience import patient

ROOT = Path(__file__).parents[2]
STORY_SECONDS = 900


@pytest.mark.full
@pytest.mark.timeout(STORY_SECONDS + 60)
def test_every_app_is_back_on_its_own_host_after_the_engine_ended() -> None:
    """In namespaces of its own, so that the engine of this machine and whoever uses it are left alone."""
    inside = 'ip link set lo up; exec "$@"'
    with tempfile.TemporaryDirectory(prefix="stackyn-engine-") as folder:
        story = subprocess.run(
            [
                *("unshare", "--net", "--mount", "sh", "-c", inside, "sh"),
                *(sys.executable, "-m", "tests.e2e.engine_restart", folder),
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            timeout=patient(STORY_SECONDS),
            capture_output=True,
            text=True,
            check=False,
        )
    print(story.stdout)
    assert story.returncode == 0, f"{story.stdout}\n{story.stderr[-8000:]}"
