"""Instances as containers: their name, labels, address, and how they start."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stackyn_server.domain.failures import TransientFailure
from stackyn_server.engine import containers
from stackyn_server.engine import labels as keys
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_spec import ContainerSpec
from stackyn_server.engine.start_failures import AddressTaken
from tests.engine.parts import (
    ended,
    kill,
)

Spec = Callable[..., ContainerSpec]


async def test_container_has_name_labels_address_environment_port(engine: Engine, spec: Spec) -> None:
    container_spec = spec(environment={"PORT": "8080", "GREETING": "two words = one value"}, command=None)

    container = await containers.start(engine, container_spec)

    state = await containers.inspect(engine, container)
    inspected = await engine.request("GET", f"containers/{container}/json")
    assert state is not None
    assert state.name == engine.labels.sealed_name(f"stackyn-i{container_spec.instance}")
    assert state.address == container_spec.address
    assert (state.instance, state.app) == (container_spec.instance, container_spec.app)
    assert state.labels[keys.TENANT] == str(container_spec.tenant)
    assert state.labels[keys.DEPLOYMENT] == str(container_spec.deployment)
    assert "GREETING=two words = one value" in inspected["Config"]["Env"]
    assert "8080/tcp" in inspected["Config"]["ExposedPorts"]
    assert inspected["HostConfig"]["PortBindings"] in (None, {})


async def test_start_keeps_a_running_and_replaces_an_ended_container(engine: Engine, spec: Spec) -> None:
    container_spec = spec(command="sleep 600")
    first = await containers.start(engine, container_spec)
    assert await containers.start(engine, container_spec) == first

    await kill(engine, first)
    await ended(engine, first)
    second = await containers.start(engine, container_spec)

    assert second != first
    assert await containers.inspect(engine, first) is None
    state = await containers.find(engine, container_spec.instance)
    assert state is not None and state.id == second and state.running


async def test_an_address_in_use_is_retried_and_leaves_nothing_behind(engine: Engine, spec: Spec) -> None:
    holder = spec()
    await containers.start(engine, holder)
    second = spec(bridge=holder.bridge, address=holder.address)

    with pytest.raises(AddressTaken) as caught:
        await containers.start(engine, second)

    assert isinstance(caught.value, TransientFailure)
    assert await containers.find(engine, second.instance) is None


async def test_both_slots_of_a_seat_run_side_by_side(engine: Engine, spec: Spec) -> None:
    old, new = spec(seat=450, slot=0), spec(seat=450, slot=1)

    for container_spec in (old, new):
        await containers.start(engine, container_spec)

    assert int(new.address) == int(old.address) + 1


async def test_the_address_is_the_same_after_a_restart(engine: Engine, spec: Spec) -> None:
    container_spec = spec()
    container = await containers.start(engine, container_spec)
    await engine.request("POST", f"containers/{container}/restart", params={"t": "0"})

    state = await containers.inspect(engine, container)

    assert state is not None and state.running and state.address == container_spec.address
