from __future__ import annotations

from tests.integration.jobs.conftest import plain_log

__all__ = ["plain_log"]
