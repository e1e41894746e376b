"""Builders: the context of job handlers with those parts alone that a test needs."""

from __future__ import annotations

from stackyn_server.config import Settings
from stackyn_server.pipeline.context import PipelineContext
from stackyn_server.store.database import Database


def a_context(database: Database, **parts: object) -> PipelineContext:
    """Return a context in which every other part is None."""
    nothing = dict.fromkeys(PipelineContext.__slots__)
    return PipelineContext(**{**nothing, "settings": Settings(), "database": database, **parts})  # type: ignore[arg-type]
