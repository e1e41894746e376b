"""The pieces in which `services.logs` hands out logs, for the API, which knows neither rows nor engine."""

from __future__ import annotations

from stackyn_server.engine.logs import LogLine
from stackyn_server.journal.journal import Chunk
from stackyn_server.store.logs import LogEntry

__all__ = ["Chunk", "LogEntry", "LogLine"]
