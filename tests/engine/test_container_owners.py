"""Whose a container is: other installations, and images that claim to be what they are not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from stackyn_server.domain.ids import InstanceId
from stackyn_server.engine import builds, containers, networks
from stackyn_server.engine import labels as keys
from stackyn_server.engine.builds import BuildRequest
from stackyn_server.engine.client import Engine
from stackyn_server.engine.containers import ContainerSpec
from tests.engine.parts import (
    containers_place,
    context,
    eventually,
    new_id,
)

Spec = Callable[..., ContainerSpec]


async def test_what_another_installation_made_is_neither_listed_nor_touched(
    engine: Engine, spec: Spec
) -> None:
    wanted = spec()
    container = await containers.start(engine, wanted)
    async with Engine(engine.settings, engine.network, f"other-{new_id()}") as other:
        assert await containers.list_ours(other) == []
        assert await containers.inspect(other, container) is None
        assert await containers.last_lines(other, container) == ""
        await containers.stop(other, container, 0)
        await containers.kill(other, container)
        await containers.remove(other, container)

    state = await containers.inspect(engine, container)
    assert state is not None and state.running
    assert container in {one.id for one in await containers.list_ours(engine)}


async def test_two_installations_on_one_engine_may_have_the_same_instance(engine: Engine, spec: Spec) -> None:
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
            await networks.remove_ours(other)
    state = await containers.inspect(engine, ours)
    assert state is not None and state.running


async def test_an_image_can_not_make_its_build_container_look_like_an_instance(
    engine: Engine, base_image: str, spec: Spec, build_request: Callable[..., BuildRequest]
) -> None:
    """A container inherits the labels of its image: that of a build step too, under a name of the engine's choice."""
    wanted = spec()
    await containers.start(engine, wanted)
    pretended = engine.labels.app_container(
        tenant=wanted.tenant,
        app=wanted.app,
        deployment=wanted.deployment,
        release=wanted.release,
        instance=wanted.instance,
    )
    claims = " ".join(f"{key}={value}" for key, value in pretended.items())
    began, listed = asyncio.Event(), list[str]()
    text = f"FROM {base_image}\nLABEL {claims}\nRUN echo begun && sleep 600\n"
    task = asyncio.create_task(
        builds.build(
            engine,
            build_request(),
            context({"Dockerfile": text.encode()}),
            lambda line: began.set() if line == "begun" else None,
        )
    )
    await began.wait()
    try:
        # The pretender carries the labels (else this test could not fail), a moment after it has spoken.
        await eventually(lambda: _number_with(engine, wanted.instance), 2)
        listed = [one.id for one in await containers.list_ours(engine, {keys.INSTANCE: str(wanted.instance)})]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert len(listed) == 1
    found = await containers.find(engine, wanted.instance)
    assert found is not None and [found.id] == listed


async def _number_with(engine: Engine, instance: InstanceId) -> int:
    filters = json.dumps({"label": [f"{keys.INSTANCE}={instance}"]})
    return len(await engine.request("GET", "containers/json", params={"filters": filters}))


async def test_a_programs_labels_of_its_image_do_not_reach_its_container(
    engine: Engine, base_image: str, spec: Spec, build_request: Callable[..., BuildRequest]
) -> None:
    text = f"FROM {base_image}\nLABEL {keys.DEPLOYMENT}=1 {keys.ROLE}=ingress {keys.APP}=2\n"
    image = await builds.build(
        engine, build_request(), context({"Dockerfile": text.encode()}), lambda line: None
    )
    wanted = spec(image=image, deployment=None)

    state = await containers.inspect(engine, await containers.start(engine, wanted))

    assert state is not None
    assert (state.labels[keys.DEPLOYMENT], state.labels[keys.ROLE]) == ("", "app")
    assert state.app == wanted.app
