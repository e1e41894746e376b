"""Builders: the context of job handlers with those parts alone that a test needs."""

from __future__ import annotations

from stackyn_server.config import Settings
from stackyn_server.engine.client import Engine
from stackyn_server.pipeline.context import PipelineContext
from stackyn_server.store.database import Database


def a_context(database: Database, **parts: object) -> PipelineContext:
    """Return a context in which the engine is away, and every other part is None."""
    settings, nothing = Settings(), dict.fromkeys(PipelineContext.__slots__)
    engine = Engine(settings.engine, settings.network, "no installation")  # never opened
    chosen = {"settings": settings, "database": database, "engine": engine, **parts}
    return PipelineContext(**{**nothing, **chosen})  # type: ignore[arg-type]
