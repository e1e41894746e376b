"""What an instance may do and use: limits, capabilities, log, file system."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stackyn_server import config
from stackyn_server.engine import containers
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_spec import ContainerSpec
from stackyn_server.engine.container_state import SIGKILLED
from stackyn_server.engine.hardening import SWAP_BYTES
from tests.engine.effective_limits import read_limits
from tests.engine.parts import (
    ended,
    last_lines_of,
    run_inside,
    until_answers,
)

Spec = Callable[..., ContainerSpec]

ENGINE_MISSES = 4  # in a row: 20.10 does not notice 1 of 10, on a busy machine


async def test_the_kernel_keeps_the_limits(engine: Engine, spec: Spec) -> None:
    container = await containers.start(engine, spec(memory_mb=48, cpu=0.25, max_processes=33))

    kept = await read_limits(engine, container)

    assert kept is not None
    assert kept.memory_bytes == 48 * 1024 * 1024
    assert kept.memory_and_swap_bytes == kept.memory_bytes + SWAP_BYTES
    assert kept.max_processes == 33
    assert kept.cpu == pytest.approx(0.25)


NUMBERS = {  # of capabilities, from the kernel's include/uapi/linux/capability.h
    "CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "KILL": 5, "SETGID": 6, "SETUID": 7, "NET_BIND_SERVICE": 10,
}  # fmt: skip


@pytest.mark.parametrize("given", [(), config.AppsSettings().capabilities], ids=["none", "default"])
async def test_apps_have_their_capabilities_and_gain_none(
    engine: Engine, spec: Spec, given: tuple[str, ...]
) -> None:
    output = await last_lines_of(engine, spec(command="cat /proc/self/status", capabilities=given))

    values = {line.partition(":")[0]: line.partition(":")[2].strip() for line in output.splitlines()}
    mask = sum(1 << NUMBERS[name] for name in given)
    assert {int(values[name], 16) for name in ("CapPrm", "CapEff", "CapBnd")} == {mask}
    assert int(values["CapAmb"], 16) == 0
    assert values["NoNewPrivs"] == "1"
    assert values["Seccomp"] == "2"


async def test_the_log_of_a_container_is_rotated(engine: Engine, spec: Spec) -> None:
    container = await containers.start(engine, spec())

    inspected = await engine.request("GET", f"containers/{container}/json")

    assert inspected["HostConfig"]["LogConfig"] == {
        "Type": "json-file",
        "Config": {"max-size": "10m", "max-file": "2"},
    }


async def test_an_app_may_listen_on_port_80_without_capabilities(engine: Engine, spec: Spec) -> None:
    container_spec = spec(command="nc -ll -p 80 -e echo hello", port=80)
    await containers.start(engine, container_spec)

    await until_answers(container_spec.address, 80)


async def test_a_container_that_used_too_much_memory_says_so(engine: Engine, spec: Spec) -> None:
    out_of_memory = False
    for _ in range(ENGINE_MISSES + 1):
        container = await containers.start(engine, spec(command="tail -c 200m /dev/zero", memory_mb=16))
        state = await ended(engine, container)
        assert state.exit_code == SIGKILLED, "this is known each time"
        assert state.finished_at is not None and state.started_at is not None
        out_of_memory = out_of_memory or state.out_of_memory

    assert out_of_memory


async def test_a_read_only_file_system_is_not_forced_on_apps(engine: Engine, spec: Spec) -> None:
    container = await containers.start(engine, spec())

    code, _ = await run_inside(engine, container, "touch", "/written")

    assert code == 0
