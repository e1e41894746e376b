"""Run a builder container: send its input, read its output, return how it ended."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from stackyn_server.engine import containers
from stackyn_server.engine.attach import STDERR, Attached, attach
from stackyn_server.engine.builder import builder_container
from stackyn_server.engine.builder.builder_container import BuilderSpec
from stackyn_server.engine.client import Engine
from stackyn_server.engine.errors import EngineRefused, EngineUnavailable
from stackyn_server.engine.labels import Role

_OOM_KILL = re.compile(r"^oom_kill [1-9]", re.MULTILINE)  # the engine misses some kills
_STDOUT_TAIL_BYTES = 8192  # kept for the operator


@dataclass(frozen=True, slots=True)
class BuilderExit:
    """`stdout_tail` is the end of the container's standard output; `out_of_memory`: a process was killed for it."""

    exit_code: int
    out_of_memory: bool
    stdout_tail: str


async def run_builder(
    engine: Engine,
    spec: BuilderSpec,
    control: bytes,
    context: AsyncIterator[bytes],
    on_error_output: Callable[[bytes], Awaitable[None]],
) -> BuilderExit:
    """Run one builder: send `control` and the tar stream `context`, and pass each piece of the standard error to
    `on_error_output`. While that runs, the builder waits (back-pressure).

    When it returns or raises, also when it is cancelled, the container is removed. An error of `context` is passed on
    unchanged. Raises `EngineUnavailable`, `EngineRefused`.
    """
    async with _container(engine, spec) as id_:
        async with attach(engine, id_) as attached:
            await engine.ask(engine.docker.containers.container(id_).start())
            stdout_tail = await _exchange(attached, control, context, on_error_output)
        await engine.ask(engine.docker.containers.container(id_).wait())
        state = await containers.inspect(engine, id_)
    if state is None:
        raise EngineUnavailable("a builder was removed while it ran")
    return BuilderExit(
        state.exit_code, state.out_of_memory or _OOM_KILL.search(stdout_tail) is not None, stdout_tail
    )


@asynccontextmanager
async def _container(engine: Engine, spec: BuilderSpec) -> AsyncIterator[str]:
    try:
        id_ = await builder_container.create(engine, spec)
        yield id_
    finally:
        # Found by its labels, because an interrupted request may have made it. `remove_leftovers` removes it when the
        # engine is away.
        with suppress(EngineUnavailable, EngineRefused):
            await asyncio.shield(containers.remove_of_role(engine, Role.BUILDER, spec.deployment))


async def _exchange(
    attached: Attached,
    control: bytes,
    context: AsyncIterator[bytes],
    on_error_output: Callable[[bytes], Awaitable[None]],
) -> str:
    """Send the input and read the output at the same time. Return the end of the standard output."""
    stdout_tail = b""
    sending = asyncio.create_task(_send(attached, control, context), name="build.input")
    try:
        async for stream, piece in attached.outputs():
            if stream == STDERR:
                await on_error_output(piece)
            else:
                stdout_tail = (stdout_tail + piece)[-_STDOUT_TAIL_BYTES:]
    except EngineUnavailable:
        if sending.done() and not sending.cancelled() and (error := sending.exception()) is not None:
            raise error from None
        raise
    finally:
        sending.cancel()
        await asyncio.wait([sending])
    if not sending.cancelled() and (error := sending.exception()) is not None:
        raise error
    return stdout_tail.decode("utf-8", "replace")


async def _send(attached: Attached, control: bytes, context: AsyncIterator[bytes]) -> None:
    """Send all input. A container that ends too early raises no error here: its exit code shows the failure."""
    try:
        await _write(attached, control)
        async for piece in context:
            await _write(attached, piece)
        attached.end_input()
    except _StoppedReading:
        return
    except BaseException:
        attached.abort()  # else a tar that ends between two members would be built
        raise
    finally:
        if isinstance(context, AsyncGenerator):
            await context.aclose()


class _StoppedReading(Exception):
    pass


async def _write(attached: Attached, piece: bytes) -> None:
    try:
        await attached.write(piece)
    except OSError as error:
        raise _StoppedReading from error
