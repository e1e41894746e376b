"""One attack: a Dockerfile of a stranger, built by our builder, and by the engine's own as it was before."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from stackyn_server.domain.failures import DeploymentFailed
from stackyn_server.engine.builder.builder import Builder
from stackyn_server.engine.builder.request import BuildRequest
from stackyn_server.engine.client import Engine
from tests.engine.building import context
from tests.engine.parts import tar

Make = Callable[..., BuildRequest]


@dataclass(slots=True)
class Result:
    """What a build said, and how it ended."""

    lines: list[str]
    seconds: float
    error: DeploymentFailed | None = None

    @property
    def output(self) -> str:
        """Everything that the tenant reads."""
        failure = str(self.error.failure) if self.error else ""
        return "\n".join([*self.lines, failure])


async def run(builder: Builder, request: BuildRequest, dockerfile: str) -> Result:
    result, began = Result([], 0), time.monotonic()
    try:
        await builder.build(request, context(dockerfile), result.lines.append)
    except DeploymentFailed as error:
        result.error = error
    result.seconds = time.monotonic() - began
    return result


async def run_by_the_engine(engine: Engine, dockerfile: str) -> str:
    """Return what the engine's own builder says; its image is removed."""

    async def files() -> AsyncIterator[bytes]:
        yield tar({"Dockerfile": dockerfile.encode()})

    texts = []
    parameters = {"version": "1", "rm": "true", "forcerm": "true", "nocache": "true"}
    async with engine.stream("POST", "build", params=parameters, upload=files()) as stream:
        async for record in stream.json_lines():
            texts.append(str(record.get("stream", "")) or json.dumps(record))
            if "ID" in (record.get("aux") or {}):
                await engine.request_or_none("DELETE", f"images/{record['aux']['ID']}")
    return "".join(texts)
