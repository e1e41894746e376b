"""Whose a container is: other installations, and images that claim to be what they are not."""

from __future__ import annotations

import json
from collections.abc import Callable

from stackyn_server.domain.ids import InstanceId
from stackyn_server.engine import containers
from stackyn_server.engine import labels as keys
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_spec import ContainerSpec
from tests.clean_up import remove_networks
from tests.engine.parts import busybox_files, containers_place, imported, new_id, tar

Spec = Callable[..., ContainerSpec]


async def test_another_installations_objects_are_never_touched(engine: Engine, spec: Spec) -> None:
    container_spec = spec()
    container = await containers.start(engine, container_spec)
    async with Engine(engine.settings, engine.network, f"other-{new_id()}") as other_engine:
        assert await containers.list_ours(other_engine) == []
        assert await containers.inspect(other_engine, container) is None
        assert await containers.last_lines(other_engine, container) == ""
        await containers.stop(other_engine, container, 0)
        await containers.remove(other_engine, container)

    state = await containers.inspect(engine, container)
    assert state is not None and state.running
    assert container in {listed.id for listed in await containers.list_ours(engine)}


async def test_two_installations_may_have_the_same_instance_id(engine: Engine, spec: Spec) -> None:
    container_spec = spec()
    ours = await containers.start(engine, container_spec)
    network = engine.network.model_copy(
        update={"subnet": next(net for net in engine.network.build_subnet.supernet(8).subnets(new_prefix=20)
                               if not net.overlaps(engine.network.subnet)
                               and not net.overlaps(engine.network.build_subnet))}
    )  # fmt: skip
    async with Engine(engine.settings, network, f"other-{new_id()}") as other_engine:
        try:
            bridge, address = containers_place(network)
            theirs = await containers.start(
                other_engine, spec(instance=container_spec.instance, bridge=bridge, address=address)
            )
            assert theirs != ours
            other_state = await containers.find(other_engine, container_spec.instance)
            assert other_state is not None and other_state.id == theirs
        finally:
            for leftover in await containers.list_ours(other_engine):
                await containers.remove(other_engine, leftover.id)
            await remove_networks(other_engine)
    state = await containers.inspect(engine, ours)
    assert state is not None and state.running


async def test_image_labels_can_not_imitate_an_instance(engine: Engine, spec: Spec) -> None:
    """A container inherits the labels of its image, whoever starts it, under a name of the engine's choice."""
    container_spec = spec()
    await containers.start(engine, container_spec)
    pretended = engine.labels.app_container(
        tenant=container_spec.tenant,
        app=container_spec.app,
        deployment=container_spec.deployment,
        release=container_spec.release,
        instance=container_spec.instance,
    )
    claims = [f"LABEL {key}={value}" for key, value in pretended.items()]
    image = await imported(engine, tar(busybox_files()), *claims)
    stranger = await engine.ask(
        engine.docker.containers.create({"Image": image, "Cmd": ["sleep", "600"], "NetworkDisabled": True})
    )
    try:
        await engine.ask(stranger.start())
        assert await _number_with(engine, container_spec.instance) == 2, "it carries the labels"
        listed = [
            labelled.id
            for labelled in await containers.list_ours(engine, {keys.INSTANCE: str(container_spec.instance)})
        ]
    finally:
        await engine.ask(stranger.delete(force=True))
        await engine.request("DELETE", f"images/{image}")

    assert len(listed) == 1
    state = await containers.find(engine, container_spec.instance)
    assert state is not None and [state.id] == listed


async def _number_with(engine: Engine, instance: InstanceId) -> int:
    filters = json.dumps({"label": [f"{keys.INSTANCE}={instance}"]})
    return len(await engine.request("GET", "containers/json", params={"filters": filters}))


async def test_image_labels_do_not_reach_the_container(engine: Engine, spec: Spec) -> None:
    claims = (f"LABEL {keys.DEPLOYMENT}=1", f"LABEL {keys.ROLE}=ingress", f"LABEL {keys.APP}=2")
    image = await imported(engine, tar(busybox_files()), *claims)
    container = await containers.start(engine, container_spec := spec(image=image, deployment=None))
    try:
        state = await containers.inspect(engine, container)

        assert state is not None
        assert (state.labels[keys.DEPLOYMENT], state.labels[keys.ROLE]) == ("", "app")
        assert state.app == container_spec.app
    finally:
        await containers.remove(engine, container)
        await engine.request("DELETE", f"images/{image}")
