"""What the doctor says of the kernel's limits by user."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackyn_server.cli.findings import Severity
from stackyn_server.cli.kernel_limits import check_kernel_limits


@pytest.fixture
def raised(tmp_path: Path) -> Path:
    for name, value in (
        ("fs/inotify/max_user_instances", 1_048_576),
        ("fs/inotify/max_user_watches", 2_000_000),
        ("fs/pipe-user-pages-soft", 0),
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "value", "command"),
    [
        ("fs/inotify/max_user_instances", 128, "fs.inotify.max_user_instances = 1048576"),
        ("fs/inotify/max_user_watches", 8192, "fs.inotify.max_user_watches = 1048576"),
        ("fs/pipe-user-pages-soft", 16_384, "fs.pipe-user-pages-soft = 0"),
    ],
)
def test_a_low_limit_is_a_warning_with_its_command(raised: Path, name: str, value: int, command: str) -> None:
    (raised / name).write_text(str(value))

    (finding,) = check_kernel_limits(raised)

    assert finding.severity is Severity.WARNING
    assert f"{value:,}" in finding.sentence and f"'{command}'" in finding.hint


def test_raised_limits_are_fine(raised: Path) -> None:
    (finding,) = check_kernel_limits(raised)
    assert finding.severity is Severity.FINE


def test_a_kernel_without_such_limits_is_fine(tmp_path: Path) -> None:
    assert [finding.severity for finding in check_kernel_limits(tmp_path)] == [Severity.FINE]
