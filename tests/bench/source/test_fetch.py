"""How soon a repository that nobody serves has failed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.integration.source.test_whole_commits import fetch_from_nowhere

LONGEST_SECONDS = 30


@pytest.mark.full
async def test_a_host_that_does_not_exist_fails_within_30_seconds(clone: Path) -> None:
    began = time.monotonic()
    await fetch_from_nowhere(clone)
    assert time.monotonic() - began < LONGEST_SECONDS
