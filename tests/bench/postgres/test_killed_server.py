"""How soon the embedded PostgreSQL is gone after its server was killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.postgres.test_embedded import kill_server

GONE_SECONDS = 1.0


@pytest.mark.full
async def test_postgres_is_gone_a_second_after_its_server(cluster_dir: Path) -> None:
    seconds = await kill_server(cluster_dir)
    print(f"PostgreSQL is gone after {seconds:.2f} s")
    assert seconds < GONE_SECONDS
