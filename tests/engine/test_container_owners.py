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
    wanted = spec()
    container = await containers.start(engine, wanted)
    async with Engine(engine.settings, engine.network, f"other-{new_id()}") as other:
        assert await containers.list_ours(other) == []
        assert await containers.inspect(other, container) is None
        assert await containers.last_lines(other, container) == ""
        await containers.stop(other, container, 0)
        await containers.remove(other, container)

    state = await containers.inspect(engine, container)
    assert state is not None and state.running
    assert container in {one.id for one in await containers.list_ours(engine)}


async def test_two_installations_may_have_the_same_instance_id(engine: Engine, spec: Spec) -> None:
    wanted = spec()
    ours = await containers.start(engine, wanted)
    network = engine.network.model_copy(
        update={"subnet": next(net for net in engine.network.build_subnet.supernet(8).subnets(new_prefix=20)
                               if not net.overlaps(engine.network.subnet)
                               and not net.overlaps(engine.network.build_subnet))}
    )  # fmt: skip
    async with Engine(engine.settings, network, f"other-{new_id()}") as other:
        try:
            bridge, address = containers_place(network)
            theirs = await containers.start(
                other, spec(instance=wanted.instance, bridge=bridge, address=address)
            )
            assert theirs != ours
            found = await containers.find(other, wanted.instance)
            assert found is not None and found.id == theirs
        finally:
            for one in await containers.list_ours(other):
                await containers.remove(other, one.id)
            await remove_networks(other)
    state = await containers.inspect(engine, ours)
    assert state is not None and state.running


async def test_image_labels_can_not_imitate_an_instance(engine: Engine, spec: Spec) -> None:
    """A container inherits the labels of its image, whoever starts it, under a name of the engine's choice."""
    wanted = spec()
    await containers.start(engine, wanted)
    pretended = engine.labels.app_container(
        tenant=wanted.tenant,
        app=wanted.app,
        deployment=wanted.deployment,
        release=wanted.release,
        instance=wanted.instance,
    )
    claims = [f"LABEL {key}={value}" for key, value in pretended.items()]
    image = await imported(engine, tar(busybox_files()), *claims)
    stranger = await engine.ask(
        engine.docker.containers.create({"Image": image, "Cmd": ["sleep", "600"], "NetworkDisabled": True})
    )
    try:
        await engine.ask(stranger.start())
        assert await _number_with(engine, wanted.instance) == 2, "it carries the labels"
        listed = [one.id for one in await containers.list_ours(engine, {keys.INSTANCE: str(wanted.instance)})]
    finally:
        await engine.ask(stranger.delete(force=True))
        await engine.request("DELETE", f"images/{image}")

    assert len(listed) == 1
    found = await containers.find(engine, wanted.instance)
    assert found is not None and [found.id] == listed


async def _number_with(engine: Engine, instance: InstanceId) -> int:
    filters = json.dumps({"label": [f"{keys.INSTANCE}={instance}"]})
    return len(await engine.request("GET", "containers/json", params={"filters": filters}))


async def test_image_labels_do_not_reach_the_container(engine: Engine, spec: Spec) -> None:
    claims = (f"LABEL {keys.DEPLOYMENT}=1", f"LABEL {keys.ROLE}=ingress", f"LABEL {keys.APP}=2")
    image = await imported(engine, tar(busybox_files()), *claims)
    container = await containers.start(engine, wanted := spec(image=image, deployment=None))
    try:
        state = await containers.inspect(engine, container)

        assert state is not None
        assert (state.labels[keys.DEPLOYMENT], state.labels[keys.ROLE]) == ("", "app")
        assert state.app == wanted.app
    finally:
        await containers.remove(engine, container)
        await engine.request("DELETE", f"images/{image}")
