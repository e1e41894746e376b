"""Processor time of the patterns that explain a failure, on a machine that does nothing else."""

from __future__ import annotations

import pytest

from tests.unit.diagnosis.test_transcript import HOSTILE, PATTERNS, search_seconds

LONGEST_SECONDS = 0.004


@pytest.mark.full
@pytest.mark.parametrize("piece", HOSTILE)
def test_a_pattern_reads_a_hostile_line_within_4_ms(piece: str) -> None:
    for pattern in PATTERNS:
        assert search_seconds(pattern, piece) < LONGEST_SECONDS, pattern.pattern
