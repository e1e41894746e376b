"""The reboot as a test: in namespaces of its own, for the sake of its own engine. See tests/crash/reboot.py."""

from __future__ import annotations

import pytest

from tests.own_engine import in_namespaces

SECONDS = 400


@pytest.mark.full
@pytest.mark.timeout(SECONDS + 30)
def test_after_a_reboot_every_app_is_back_on_its_own_host(capsys: pytest.CaptureFixture[str]) -> None:
    output = in_namespaces("tests.crash.reboot", seconds=SECONDS)
    with capsys.disabled():
        print(f"\n{output}")
