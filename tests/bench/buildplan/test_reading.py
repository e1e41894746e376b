"""Processor time that a stranger's files take their readers, on a machine that does nothing else."""

from __future__ import annotations

import pytest

from stackyn_server.buildplan.file_sizes import bytes_allowed
from stackyn_server.buildplan.versions.requirement import Dialect, parse_requirement
from stackyn_server.config import ReadingSettings
from tests.patience import processor_seconds
from tests.unit.buildplan.formats import test_toml, test_yaml_subset
from tests.unit.buildplan.hostile_files import (
    ABOVE,
    FILES,
    LARGEST_YAML,
    SMALL_BYTES,
    hostile,
    seconds_to_plan,
    seconds_to_plan_below,
)
from tests.unit.buildplan.runtimes.dockerfile.test_dockerfile import read_many_stages
from tests.unit.buildplan.versions import test_requirement

pytestmark = pytest.mark.full


@pytest.mark.parametrize("path", FILES)
def test_a_small_file_is_planned_within_a_second(path: str) -> None:
    for text in hostile(path, min(SMALL_BYTES, bytes_allowed(path))):
        assert seconds_to_plan(path, text) < 1, f"{path}: {text[:40]!r} …"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", FILES)
def test_the_largest_file_is_read_within_the_process_limits(path: str) -> None:
    sizes = {bytes_allowed(path), LARGEST_YAML} if path.endswith(("yaml", "yml")) else {bytes_allowed(path)}
    texts = (text for size in sizes for text in hostile(path, size))
    slowest = max((seconds_to_plan(path, text), text[:40]) for text in texts)
    print(f"{path} {bytes_allowed(path):,} bytes: {slowest[0]:.1f} s, {slowest[1]!r}")
    assert slowest[0] < ReadingSettings().cpu_seconds


@pytest.mark.parametrize("path", ABOVE)
def test_a_file_above_the_root_directory_takes_below_2_seconds(path: str) -> None:
    for seconds, piece in seconds_to_plan_below(path):
        assert seconds < 2, piece


def test_a_hostile_requirement_takes_below_100_ms() -> None:
    for text in test_requirement.HOSTILE:
        assert processor_seconds(lambda: parse_requirement(text, Dialect.PYTHON)) < 0.1, text  # noqa: B023


def test_an_endless_toml_key_takes_below_2_seconds() -> None:
    for text in test_toml.ENDLESS_KEYS:
        assert processor_seconds(lambda: test_toml.refuse_endless_key(text)) < 2, text[:40]  # noqa: B023


def test_hostile_yaml_takes_below_2_seconds() -> None:
    for piece in test_yaml_subset.HOSTILE:
        assert processor_seconds(lambda: test_yaml_subset.read_hostile(piece)) < 2, piece  # noqa: B023


def test_a_dockerfile_of_45000_stages_takes_below_3_seconds() -> None:
    assert processor_seconds(read_many_stages) < 3
