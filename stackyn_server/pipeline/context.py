"""What every story acts on that moves an app's requests from one place to another."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from stackyn_server.config import Settings
from stackyn_server.engine.client import Engine
from stackyn_server.ingress.driver import Ingress
from stackyn_server.pipeline.idle.held_requests import HeldRequests
from stackyn_server.pipeline.rollout.memory import MemoryReservations
from stackyn_server.store.database import Database


@dataclass(frozen=True, slots=True)
class PipelineContext:
    """`ingress_ready` is set when the proxy has served our routes once since this server started."""

    settings: Settings
    database: Database
    engine: Engine
    ingress: Ingress
    ingress_ready: asyncio.Event
    held_requests: HeldRequests
    reservations: MemoryReservations


class JobHandler:
    def __init__(self, context: PipelineContext) -> None:
        self._settings = context.settings
        self._database = context.database
        self._engine = context.engine
        self._ingress = context.ingress
        self._ingress_ready = context.ingress_ready
        self._held_requests = context.held_requests
        self._reservations = context.reservations
