"""How much memory a build gets, when its app or its repository asks for another amount than the usual one."""

from __future__ import annotations

import asyncio

from stackyn_server.buildplan.outcome import BuildPlan
from stackyn_server.config import Settings
from stackyn_server.domain.memory import build_mb
from stackyn_server.engine import host_memory
from stackyn_server.pipeline.walk import Walk
from stackyn_server.store import accounts
from stackyn_server.store.apps import App


async def build_memory_mb(walk: Walk, settings: Settings, app: App, plan: BuildPlan) -> int:
    """Return the memory of the build in MiB, and tell its log when that is not the usual amount."""
    usual = settings.builds.memory_mb
    asked = app.settings.build_memory_mb or plan.deploying.build_memory_mb
    if asked is None:
        return usual
    account = await walk.record(lambda connection: accounts.get(connection, app.tenant))
    billing = settings.plans.get(account.plan if account else "")
    most = (billing or settings.plans[settings.billing.default_plan]).max_build_memory_mb
    machine = await asyncio.to_thread(host_memory.total_mb) - settings.apps.memory_reserve_mb
    given = build_mb(asked, usual, most, machine)
    why = f", less than build_memory_mb asks for ({asked}): that is the most here" if given < asked else ""
    walk.say(f"The build may use {given} MiB of memory{why}.")
    return given
