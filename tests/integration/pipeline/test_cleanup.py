"""What a deployment that did not go live leaves behind is removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.ids import InstanceId
from stackyn_server.engine import containers, images
from stackyn_server.ingress.confirmation import NotConfirmed
from stackyn_server.pipeline.teardown.cleanup import Cleanup
from stackyn_server.source import repository
from stackyn_server.store import deployments, instances
from stackyn_server.store.database import Database
from stackyn_server.store.deployments import Mover
from tests.integration.pipeline.parts import a_context, a_job, nothing
from tests.rows import a_deployment, a_release, a_serving_app


class NotConfirming:
    async def publish(self) -> int:
        return 1

    async def confirm(self, _number: int, _changed: object) -> None:
        raise NotConfirmed("the proxy did not answer")


@pytest.mark.parametrize("phase", [Phase.RELEASING, Phase.BOOTING, Phase.PROBING, Phase.SWITCHING])
async def test_container_stays_until_the_route_is_confirmed(
    database: Database, monkeypatch: pytest.MonkeyPatch, taken_down: list[InstanceId], phase: Phase
) -> None:
    """An earlier attempt may have switched the route to it, and nobody has confirmed yet that the route went back."""
    monkeypatch.setattr(containers, "remove_of_role", nothing)
    monkeypatch.setattr(images, "remove", nothing)
    monkeypatch.setattr(repository, "remove", nothing)
    async with database.transaction() as connection:
        app, _ = await a_serving_app(connection)
        deployment = await a_deployment(connection, app, phase)
        release = await a_release(connection, deployment)
        assert await instances.insert(connection, app.id, release.id, deployment.id) is not None
        await deployments.advance(connection, deployment, Phase.CANCELLED, Mover(0, "api:cancel"))

    with pytest.raises(NotConfirmed):
        await Cleanup(a_context(database, ingress=NotConfirming()), Path("/nowhere"))(a_job(deployment.id))

    assert taken_down == []
