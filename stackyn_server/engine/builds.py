"""One build: the context goes in, lines come out, an image id is the result.

The classic builder is the rule, since only it keeps limits per build (measured on 20.10 to 29); BuildKit runs where a
Dockerfile needs it. Both are asked by posting to `/build` directly: aiodocker has no parameters for limits.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from stackyn_server.domain.ids import AppId, DeploymentId, UserId
from stackyn_server.engine import build_leftovers, images
from stackyn_server.engine.build_failures import explain
from stackyn_server.engine.build_group import BuildGroup, build_group
from stackyn_server.engine.build_output import BuildOutput, Problem
from stackyn_server.engine.client import Engine
from stackyn_server.engine.errors import EngineRefused, EngineUnavailable
from stackyn_server.engine.hardening import CPU_PERIOD_MICROSECONDS, Limits
from stackyn_server.engine.out_of_memory import was_out_of_memory

GONE_SECONDS = 5.0  # measured: 0.06 s from closing the connection until the step's processes are gone
_CLOCK_SLACK = timedelta(seconds=1)  # the engine dates images by its own reading of the clock

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """`dockerfile` is a path in the context, `network` one of `networks.ensure_build_network`, `tag` one of
    `images.tag_of`. Units: MiB, cores, processes and threads."""

    app: AppId
    deployment: DeploymentId
    tenant: UserId
    dockerfile: str
    network: str
    memory_mb: int
    cpu: float
    max_processes: int
    tag: str
    build_arguments: Mapping[str, str]
    needs_buildkit: bool

    @property
    def limits(self) -> Limits:
        return Limits(self.memory_mb, self.cpu, self.max_processes)


async def build(
    engine: Engine, request: BuildRequest, context: AsyncIterator[bytes], on_line: Callable[[str], None]
) -> str:
    """Build the tar stream `context` and return the image's id, which inspects.

    Raises `DeploymentFailed` (BUILD_FAILED, BUILD_OUT_OF_MEMORY, DOCKERFILE_INVALID, BUILD_DISK) with the last lines
    as evidence, `TransientFailure` for a registry in trouble, `EngineUnavailable`. Cancelling it ends the build. When
    it returns or raises, it has been verified that no process of a classic build runs any more; BuildKit ends them
    too, but shows nothing to verify it by.
    """
    labels = engine.labels.app_image(request.app, request.deployment)
    output = BuildOutput(on_line, own_steps=len(labels))
    began_at = datetime.now(UTC) - _CLOCK_SLACK
    async with build_group(engine, request.deployment, request.max_processes) as group:
        try:
            await _run(engine, request, group, context, output, began_at)
            image = await _result(engine, output)
        except BaseException as error:
            await _clean_up(engine, group, output, began_at, keep_cache=isinstance(error, EngineUnavailable))
            raise
        await build_leftovers.keep_stages(engine, request.app, request.deployment, output, began_at)
    return image


async def _run(
    engine: Engine,
    request: BuildRequest,
    group: BuildGroup,
    context: AsyncIterator[bytes],
    output: BuildOutput,
    began_at: datetime,
) -> None:
    try:
        async with engine.stream(
            "POST", "build", params=_parameters(engine, request, group), upload=context
        ) as stream:
            async for record in stream.json_lines():
                output.feed(record)
    except (EngineRefused, EngineUnavailable) as error:
        if not error.was_answered:
            raise
        output.problem = Problem(error.reason, None, isinstance(error, EngineUnavailable))
    output.finish()
    if output.problem is not None:
        # 20.10 with cgroup v2 sends no event when only a child was killed (seen): there, the group has counted it.
        killed = await group.ran_out_of_memory() or await was_out_of_memory(
            engine, output.containers, began_at
        )
        raise explain(output.problem, output, out_of_memory=killed)


def _parameters(engine: Engine, request: BuildRequest, group: BuildGroup) -> dict[str, str]:
    parameters = {
        "dockerfile": request.dockerfile,
        "t": request.tag,
        "labels": json.dumps(engine.labels.app_image(request.app, request.deployment)),
        "buildargs": json.dumps(dict(request.build_arguments)),
        "rm": "true",
        "forcerm": "true",
    }
    if request.needs_buildkit:
        # Limits and networks of ours are not obeyed by it without a session (measured), so they are not sent.
        return parameters | {"version": "2"}
    return parameters | {
        "version": "1",
        "memory": str(request.limits.memory_bytes),
        "memswap": str(request.limits.memory_and_swap_bytes),
        "cpuperiod": str(CPU_PERIOD_MICROSECONDS),
        "cpuquota": str(request.limits.cpu_quota_microseconds),
        "cgroupparent": group.parent,
        "networkmode": request.network,
    }


async def _result(engine: Engine, output: BuildOutput) -> str:
    """A build has succeeded only when its image inspects: a stream can end early without any error (seen)."""
    found = None if output.image is None else await images.inspect(engine, output.image)
    if found is None:
        raise EngineUnavailable("the build ended without an image")
    return found.id


async def _clean_up(
    engine: Engine, group: BuildGroup, output: BuildOutput, began_at: datetime, *, keep_cache: bool
) -> None:
    """Make sure that nothing runs on, then remove what was left. An engine that is away leaves that for later."""
    try:
        if not await group.empty_within(GONE_SECONDS):
            log.error("build.outlived_its_connection", group=group.parent)
        await build_leftovers.remove_containers(engine, group, output)
        if not await group.empty_within(GONE_SECONDS):
            log.error("build.not_killed", group=group.parent)
        if not keep_cache:
            await build_leftovers.remove_images(engine, output, began_at)
    except (EngineRefused, EngineUnavailable) as error:
        log.warning("build.not_cleaned_up", group=group.parent, reason=error.reason)
