"""What every story acts on that moves an app's requests from one place to another."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from stackyn_server.config import Settings
from stackyn_server.engine.client import Engine
from stackyn_server.ingress.driver import Ingress
from stackyn_server.pipeline.idle.held_requests import Gates
from stackyn_server.pipeline.rollout.memory import Room
from stackyn_server.store.database import Database


@dataclass(frozen=True, slots=True)
class Parts:
    """`ingress_ready` is set when the proxy has served our routes once since this server started."""

    settings: Settings
    database: Database
    engine: Engine
    ingress: Ingress
    ingress_ready: asyncio.Event
    gates: Gates
    room: Room


class Story:
    def __init__(self, parts: Parts) -> None:
        self._settings = parts.settings
        self._database = parts.database
        self._engine = parts.engine
        self._ingress = parts.ingress
        self._ingress_ready = parts.ingress_ready
        self._gates = parts.gates
        self._room = parts.room
