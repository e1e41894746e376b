"""Instances as containers: what they may do, how they start and stop, and whose they are."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable

import pytest

from stackyn_server.domain.failures import DeploymentFailed, FailureCode, TransientFailure
from stackyn_server.domain.ids import AppId, DeploymentId, InstanceId, UserId
from stackyn_server.engine import builds, containers, images, limits, networks
from stackyn_server.engine import labels as keys
from stackyn_server.engine.builds import BuildRequest
from stackyn_server.engine.client import Engine
from stackyn_server.engine.containers import AddressTaken, ContainerSpec
from stackyn_server.engine.hardening import SWAP_BYTES
from tests.engine.parts import containers_place, context, eventually, new_id, run_inside, until_answers

Spec = Callable[..., ContainerSpec]


async def ended(engine: Engine, container: str) -> containers.ContainerState:
    await engine.ask(engine.docker.containers.container(container).wait())
    state = await containers.inspect(engine, container)
    assert state is not None
    return state


async def last_lines_of(engine: Engine, spec: ContainerSpec) -> str:
    """Run the container to its end and return what it said."""
    container = await containers.start(engine, spec)
    await ended(engine, container)
    return await containers.last_lines(engine, container)


async def test_a_container_has_its_name_labels_address_environment_and_port(
    engine: Engine, spec: Spec
) -> None:
    wanted = spec(environment={"PORT": "8080", "GREETING": "two words = one value"}, command=None)

    container = await containers.start(engine, wanted)

    state = await containers.inspect(engine, container)
    found = await engine.request("GET", f"containers/{container}/json")
    assert state is not None
    assert state.name == f"stackyn-i{wanted.instance}"
    assert state.address == wanted.address
    assert (state.instance, state.app) == (wanted.instance, wanted.app)
    assert state.labels[keys.TENANT] == str(wanted.tenant)
    assert state.labels[keys.DEPLOYMENT] == str(wanted.deployment)
    assert "GREETING=two words = one value" in found["Config"]["Env"]
    assert "8080/tcp" in found["Config"]["ExposedPorts"]
    assert found["HostConfig"]["PortBindings"] in (None, {})


async def test_the_kernel_keeps_the_limits(engine: Engine, spec: Spec) -> None:
    container = await containers.start(engine, spec(memory_mb=48, cpu=0.25, max_processes=33))

    kept = await limits.read_limits(engine, container)

    assert kept is not None
    assert kept.memory_bytes == 48 * 1024 * 1024
    assert kept.memory_and_swap_bytes == kept.memory_bytes + SWAP_BYTES
    assert kept.max_processes == 33
    assert kept.cpu == pytest.approx(0.25)


async def test_an_app_has_no_capability_and_can_gain_none(engine: Engine, spec: Spec) -> None:
    said = await last_lines_of(engine, spec(command="cat /proc/self/status"))

    values = {line.partition(":")[0]: line.partition(":")[2].strip() for line in said.splitlines()}
    assert {values[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert values["NoNewPrivs"] == "1"
    assert values["Seccomp"] == "2"


async def test_the_log_of_a_container_is_rotated(engine: Engine, spec: Spec) -> None:
    container = await containers.start(engine, spec())

    found = await engine.request("GET", f"containers/{container}/json")

    assert found["HostConfig"]["LogConfig"] == {
        "Type": "json-file",
        "Config": {"max-size": "10m", "max-file": "2"},
    }


async def test_an_app_may_listen_on_port_80_without_capabilities(engine: Engine, spec: Spec) -> None:
    wanted = spec(command="nc -ll -p 80 -e echo hello", port=80)
    await containers.start(engine, wanted)

    await until_answers(wanted.address, 80)


async def test_starting_again_keeps_a_running_container_and_replaces_one_that_ended(
    engine: Engine, spec: Spec
) -> None:
    wanted = spec(command="sleep 600")
    first = await containers.start(engine, wanted)
    assert await containers.start(engine, wanted) == first

    await containers.kill(engine, first)
    await ended(engine, first)
    second = await containers.start(engine, wanted)

    assert second != first
    assert await containers.inspect(engine, first) is None
    found = await containers.find(engine, wanted.instance)
    assert found is not None and found.id == second and found.running


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

    for one in (old, new):
        await containers.start(engine, one)

    assert int(new.address) == int(old.address) + 1


async def test_the_address_is_the_same_after_a_restart(engine: Engine, spec: Spec) -> None:
    wanted = spec()
    container = await containers.start(engine, wanted)
    await engine.request("POST", f"containers/{container}/restart", params={"t": "0"})

    state = await containers.inspect(engine, container)

    assert state is not None and state.running and state.address == wanted.address


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"command": None, "image": "{nothing}"}, "no start command"),
        ({"command": None, "image": "{stranger}"}, "could not be run"),
    ],
    ids=["no-command", "unknown-user"],
)
async def test_an_image_that_can_not_be_started_fails_with_its_reason_and_leaves_nothing(
    engine: Engine, spec: Spec, odd_images: dict[str, str], changes: dict[str, str], words: str
) -> None:
    wanted = spec(**{key: odd_images.get(str(value), value) for key, value in changes.items()})

    with pytest.raises(DeploymentFailed, match=words) as caught:
        await containers.start(engine, wanted)

    assert not caught.value.retryable
    assert caught.value.failure.code is FailureCode.APP_EXITED
    assert await containers.find(engine, wanted.instance) is None


@pytest.mark.parametrize(
    ("changes", "program"),
    [
        ({"command": "sleep 1", "image": "{nothing}"}, "/bin/sh"),
        ({"command": None, "image": "{absent-program}"}, "/no/such/program"),
    ],
    ids=["no-shell", "unknown-program"],
)
async def test_a_program_that_is_not_in_the_image_ends_with_127_and_its_name(
    engine: Engine, spec: Spec, odd_images: dict[str, str], changes: dict[str, str], program: str
) -> None:
    wanted = spec(**{key: odd_images.get(str(value), value) for key, value in changes.items()})

    state = await ended(engine, await containers.start(engine, wanted))

    assert state.exit_code == 127
    assert program in await containers.last_lines(engine, state.id)


@pytest.fixture(scope="module")
async def odd_images(engine: Engine, base_image: str) -> dict[str, str]:
    """Images that can be made and can't be started."""
    network = await networks.ensure_build_network(engine, 1)
    texts = {
        "{nothing}": "FROM scratch\nCOPY Dockerfile /\n",
        "{stranger}": f'FROM {base_image}\nUSER nobody-knows-me\nCMD ["sleep", "1"]\n',
        "{absent-program}": f'FROM {base_image}\nCMD ["/no/such/program"]\n',
    }
    made = {}
    for name, text in texts.items():
        app, deployment = AppId(new_id()), DeploymentId(new_id())
        request = builds.BuildRequest(
            app=app,
            deployment=deployment,
            tenant=UserId(uuid.uuid4()),
            dockerfile="Dockerfile",
            network=network,
            memory_mb=64,
            cpu=1,
            max_processes=64,
            tag=images.tag_of(engine, app, deployment),
            build_arguments={},
            needs_buildkit=False,
        )
        made[name] = await builds.build(
            engine, request, context({"Dockerfile": text.encode()}), lambda line: None
        )
    return made


async def test_an_image_that_is_gone_is_said_so(engine: Engine, spec: Spec) -> None:
    with pytest.raises(DeploymentFailed, match="no longer on this server"):
        await containers.start(engine, spec(image="sha256:" + "0" * 64))


async def test_a_start_command_gets_the_stop_signal_itself(engine: Engine, spec: Spec) -> None:
    script = "trap 'echo told-to-stop; exit 0' TERM; echo ready; while true; do usleep 20000; done"
    container = await containers.start(engine, spec(command=f'sh -c "{script}"'))
    await eventually(lambda: containers.last_lines(engine, container), "ready")
    began = time.monotonic()

    await containers.stop(engine, container, 20)

    state = await containers.inspect(engine, container)
    assert state is not None and not state.running and state.exit_code == 0
    assert "told-to-stop" in await containers.last_lines(engine, container)
    assert time.monotonic() - began < 10


async def test_an_app_that_ignores_the_stop_signal_is_killed_after_the_grace(
    engine: Engine, spec: Spec
) -> None:
    container = await containers.start(
        engine, spec(command="sh -c \"trap '' TERM; while :; do sleep 1; done\"")
    )
    await asyncio.sleep(0)
    began = time.monotonic()

    await containers.stop(engine, container, 1)

    state = await containers.inspect(engine, container)
    assert state is not None and not state.running
    assert time.monotonic() - began < 5


async def test_a_crashed_container_comes_back_only_once_the_policy_is_on(engine: Engine, spec: Spec) -> None:
    wanted = spec(command='sh -c "sleep 0.2; exit 7"')
    container = await containers.start(engine, wanted)
    state = await ended(engine, container)
    assert (state.running, state.exit_code, state.restart_count) == (False, 7, 0)

    again = await containers.start(engine, spec(command='sh -c "sleep 0.2; exit 7"'))
    await containers.set_restart(engine, again, True)
    await eventually(lambda: _has_restarted(engine, again), True)
    await containers.set_restart(engine, again, False)

    await containers.stop(engine, again, 0)
    assert not (await _state(engine, again)).running


async def test_the_policy_of_a_container_that_crashes_all_the_time_can_be_changed(
    engine: Engine, spec: Spec
) -> None:
    container = await containers.start(engine, spec(command="usleep 50000"))

    for _ in range(10):
        await containers.set_restart(engine, container, True)
    await containers.set_restart(engine, container, False)

    await containers.stop(engine, container, 0)
    assert not (await _state(engine, container)).restarting


async def _has_restarted(engine: Engine, container: str) -> bool:
    return (await _state(engine, container)).restart_count > 0


async def _state(engine: Engine, container: str) -> containers.ContainerState:
    state = await containers.inspect(engine, container)
    assert state is not None
    return state


async def test_a_container_that_used_too_much_memory_says_so(engine: Engine, spec: Spec) -> None:
    container = await containers.start(engine, spec(command="tail -c 200m /dev/zero", memory_mb=16))

    state = await ended(engine, container)

    assert state.out_of_memory
    assert state.exit_code == 137
    assert state.finished_at is not None and state.started_at is not None


async def test_every_verb_takes_an_absent_container_for_done(engine: Engine) -> None:
    for name in ("no-such-container", "0" * 64):
        await containers.set_restart(engine, name, False)
        await containers.stop(engine, name, 1)
        await containers.kill(engine, name)
        await containers.remove(engine, name)
        assert await containers.inspect(engine, name) is None
        assert await containers.last_lines(engine, name) == ""
    assert await containers.find(engine, InstanceId(new_id())) is None


async def test_stop_kill_and_remove_may_be_repeated(engine: Engine, spec: Spec) -> None:
    container = await containers.start(engine, spec())
    for _ in range(2):
        await containers.stop(engine, container, 0)
        await containers.kill(engine, container)
    await asyncio.gather(*(containers.remove(engine, container) for _ in range(3)))

    assert await containers.inspect(engine, container) is None


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


async def test_a_read_only_file_system_is_not_forced_on_apps(engine: Engine, spec: Spec) -> None:
    container = await containers.start(engine, spec())

    code, _ = await run_inside(engine, container, "touch", "/written")

    assert code == 0
