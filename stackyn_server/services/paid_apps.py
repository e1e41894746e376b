"""What billing does to apps: stops those of an account that no longer pays, and starts the same ones again."""

from __future__ import annotations

from stackyn_server.config import Settings
from stackyn_server.domain.apps import Desired
from stackyn_server.domain.deployments import Cause
from stackyn_server.domain.ids import AppId
from stackyn_server.services.deploy_requests import Leader, build_priority, request_build, stop_app
from stackyn_server.services.deployments import current_release, run_release
from stackyn_server.store import apps, events
from stackyn_server.store.accounts import Account
from stackyn_server.store.database import Connection
from stackyn_server.store.deployments import Mover

STOP_REASON = "Your trial or subscription is over. The app starts again by itself when you choose a plan."


class PaidApps:
    """Acts in the transaction that changes the account's billing state and has locked its row."""

    def __init__(self, settings: Settings, leader: Leader) -> None:
        self._settings = settings
        self._leader = leader

    async def stop(self, connection: Connection, owner: Account) -> None:
        """Stop every app that is wanted to run; releases, variables and data are kept."""
        mover = Mover(self._leader.epoch, "billing:stop")
        for app_id in await apps.ids_of_tenant(connection, owner.id):
            app = await apps.lock(connection, app_id, owner.id)
            if app is not None and app.desired is Desired.RUNNING:
                await stop_app(connection, app, mover, reason=STOP_REASON, by_billing=True)

    async def start(self, connection: Connection, owner: Account) -> None:
        """Start the apps that `stop` has stopped and nobody has changed since."""
        for app_id in await apps.stopped_by_billing(connection, owner.id):
            await self._start(connection, owner, app_id)

    async def _start(self, connection: Connection, owner: Account, app_id: AppId) -> None:
        """Run the app's release; build an app that never went live."""
        app = await apps.lock(connection, app_id, owner.id)
        if app is None:
            return
        mover = Mover(self._leader.epoch, "billing:start")
        release = await current_release(connection, app)
        if release is not None and release.image_removed_at is None:
            await run_release(connection, self._settings, app, release, Cause.START, mover)
        else:
            await request_build(connection, app, build_priority(self._settings, owner.plan), mover)
        await events.append(connection, "app.started", tenant=owner.id, app=app.id)
