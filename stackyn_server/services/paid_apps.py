"""What billing does to apps: stops those of an account that no longer pays, and starts the same ones again."""

from __future__ import annotations

from stackyn_server.config import Settings
from stackyn_server.domain.apps import Desired
from stackyn_server.domain.deployments import Cause
from stackyn_server.domain.ids import AppId
from stackyn_server.domain.jobs import Kind
from stackyn_server.services.deploy_requests import (
    Leader,
    build_again,
    build_priority,
    cancel_deployments,
    run_again,
)
from stackyn_server.store import apps, events, jobs, releases
from stackyn_server.store.accounts import Account
from stackyn_server.store.database import Connection
from stackyn_server.store.deployments import Mover

STOP_REASON = "Your trial or subscription is over. The app starts again by itself when you choose a plan."


class PaidApps:
    """Acts in the transaction of the account's new state, whose row the caller has locked."""

    def __init__(self, settings: Settings, leader: Leader) -> None:
        self._settings = settings
        self._leader = leader

    async def stop(self, connection: Connection, owner: Account) -> None:
        """Stop every app that is wanted to run; releases, variables and data are kept."""
        for app in await apps.ids_of_tenant(connection, owner.id):
            found = await apps.lock(connection, app, owner.id)
            if found is None or found.desired is not Desired.RUNNING:
                continue
            await apps.set_desired(
                connection, app, Desired.STOPPED, stop_reason=STOP_REASON, stopped_by_billing=True
            )
            await cancel_deployments(connection, app, Mover(self._leader.epoch, "billing:stop"))
            await jobs.enqueue_for_app(connection, Kind.STOP, found.id, found.tenant)
            await events.append(
                connection, "app.stopped", tenant=owner.id, app=app, data={"reason": STOP_REASON}
            )

    async def start(self, connection: Connection, owner: Account) -> None:
        """Start what `stop` has stopped and nobody has touched since."""
        for app in await apps.stopped_by_billing(connection, owner.id):
            await self._start(connection, owner, app)

    async def _start(self, connection: Connection, owner: Account, app: AppId) -> None:
        """Run its release, or build what never went live."""
        found = await apps.lock(connection, app, owner.id)
        if found is None:
            return
        mover = Mover(self._leader.epoch, "billing:start")
        release = await releases.get(connection, found.current_release) if found.current_release else None
        if release is not None and release.image_removed_at is None:
            await run_again(connection, found, release, Cause.START, mover)
            await jobs.shorten_retire_deadlines(connection, app, self._settings.apps.stop_grace_seconds)
        else:
            await build_again(connection, found, build_priority(self._settings, owner.plan), mover)
        await apps.set_desired(connection, app, Desired.RUNNING)
        await events.append(connection, "app.started", tenant=owner.id, app=app)
