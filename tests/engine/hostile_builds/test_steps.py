"""What a step of a build can see, end and leave behind: itself, and nothing of the builder."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import pytest

from stackyn_server.engine.builder.arguments import arguments, daemon_configuration
from stackyn_server.engine.builder.builder import Builder
from tests.engine.building import DAEMON_OPTION, add_daemon_option
from tests.engine.hostile_builds.attack import Make, Result, run
from tests.patience import patient

LOOK = (
    "FROM {base}\n"
    "RUN cat /proc/*/cmdline /proc/*/environ | busybox tr '\\0' '\\n'; ls /var/lib/build /oci; true\n"
    "RUN (sleep 311 >/dev/null 2>&1 &); true\n"
    "RUN echo looking; ps; echo looked\n"
)
PRIVILEGED = "FROM {base}\nRUN --security=insecure cat /proc/*/environ | busybox tr '\\0' '\\n'\n"
KILL = "FROM {base}\nRUN kill -9 -1; echo first\nRUN echo second\n"
ALL_RIGHTS = "security.insecure"


def processes_at_the_end(looked: Result) -> str:
    return looked.output.partition("looking\n")[2]


async def test_step_sees_and_ends_nothing_but_itself(
    base_image: str, builder: Builder, build_request: Make
) -> None:
    secret = uuid.uuid4().hex
    request = build_request(docker_config=json.dumps({"auths": {"registry.example": {"auth": secret}}}))

    looked = await run(builder, request, LOOK.format(base=base_image))
    killed = await run(builder, build_request(), KILL.format(base=base_image))
    privileged = await run(builder, build_request(), PRIVILEGED.format(base=base_image))

    assert looked.error is None and "looked" in looked.lines
    assert (
        DAEMON_OPTION not in looked.output and "BUILDKIT" not in looked.output and secret not in looked.output
    )
    assert "sleep 311" not in processes_at_the_end(looked), "it outlived its step"
    assert "second" in killed.lines, "the daemon lives, and so does the build"
    assert privileged.error is not None and "BUILDKIT_" not in privileged.output


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process namespaces, and steps that ask for all rights of the daemon have them."""

    def configuration(*given: Any) -> str:
        return daemon_configuration(*given).replace('"network.host"', f'"network.host", "{ALL_RIGHTS}"')

    def allowing(*given: Any, **named: Any) -> list[str]:
        return [*arguments(*given, **named), "--allow", ALL_RIGHTS]

    add_daemon_option(monkeypatch, "--oci-worker-no-process-sandbox")
    monkeypatch.setattr("stackyn_server.engine.builder.builder.daemon_configuration", configuration)
    monkeypatch.setattr("stackyn_server.engine.builder.builder.arguments", allowing)


async def test_open_steps_see_and_end_the_builder(
    base_image: str, builder: Builder, build_request: Make, opened: None
) -> None:
    looked = await run(builder, build_request(), LOOK.format(base=base_image))
    privileged = await run(builder, build_request(), PRIVILEGED.format(base=base_image))
    killing = asyncio.create_task(run(builder, build_request(), KILL.format(base=base_image)))
    await asyncio.wait([killing], timeout=patient(10))  # it may hang, without its daemon
    killing.cancel()
    (killed,) = await asyncio.gather(killing, return_exceptions=True)

    assert DAEMON_OPTION in looked.output
    assert "BUILDKIT_" in privileged.output
    assert "sleep 311" in processes_at_the_end(looked)
    assert not (isinstance(killed, Result) and "second" in killed.lines)
