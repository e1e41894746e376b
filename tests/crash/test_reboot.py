"""The reboot as a test: in namespaces of its own, for the sake of its own engine. See tests/crash/reboot.py."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.patience import patient
from tests.server_process import REPOSITORY

SECONDS = 400
NAMESPACES = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


@pytest.mark.full
@pytest.mark.timeout(SECONDS + 30)
def test_after_a_reboot_every_app_is_back_on_its_own_host(capsys: pytest.CaptureFixture[str]) -> None:
    run = subprocess.run(
        [
            *NAMESPACES,
            *("sh", "-c", 'ip link set lo up && exec "$@"', "sh"),
            *(sys.executable, "-m", "tests.crash.reboot"),
        ],
        cwd=REPOSITORY,
        timeout=patient(SECONDS),
        capture_output=True,
        text=True,
        check=False,
    )
    with capsys.disabled():
        print("\n" + run.stdout.strip())
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-12_000:]
