"""An app's variables in real builds: where their values are, where they are not, and what a change of them does."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from stackyn_server import config
from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.domain.ids import UserId
from stackyn_server.engine.builder import caches
from stackyn_server.engine.builder.builder import Builder
from stackyn_server.engine.builder.request import BuildRequest
from stackyn_server.engine.client import Engine
from stackyn_server.pipeline.build.variables import BuildVariables, inject_variables
from tests.engine.building import succeeds

Make = Callable[..., BuildRequest]
SECRET = "never-to-be-found-4711"
# One that shells, the Dockerfile and tables of values each take for something else.
ODD = f"a 'b' \"c\" $HOME `id` \\ #, =\n{SECRET}\n"


def asked(request: BuildRequest, plan: BuildPlan, values: dict[str, str]) -> tuple[BuildRequest, str]:
    """The request and the generated text of a build that knows `values`, as the pipeline makes them."""
    way = inject_variables(plan, BuildVariables.of(values, tenant=request.tenant, key=b"k" * 32))
    request = replace(
        request,
        secrets=way.secrets,
        build_arguments=way.arguments,
        hostname=way.hostname,
        no_cache=way.no_cache,
    )
    return request, way.plan.generated or ""


def generated(base: str, *steps: str) -> BuildPlan:
    user = "RUN echo app:x:1000:1000::/:/bin/sh > /etc/passwd"
    text = "\n".join((f"FROM {base}", user, "USER app", *(f"RUN {step}" for step in steps)))
    return BuildPlan("node", (), "Dockerfile", text, 8080)


def own(*arguments: str) -> BuildPlan:
    return BuildPlan("dockerfile", (), "Dockerfile", None, None, arguments=arguments)


async def test_generated_build_has_them_and_leaves_them_nowhere(
    engine: Engine, base_image: str, builder: Builder, build_request: Make
) -> None:
    plan = generated(base_image, 'printf %s "$ODD" | md5sum; echo "[$EMPTY]"', "true")
    request, dockerfile = asked(build_request(), plan, {"ODD": ODD, "EMPTY": ""})

    image, lines = await succeeds(builder, request, dockerfile)

    steps = [line for line in lines if line.startswith("[stage-0")]
    assert steps[1].endswith('RUN printf %s "****" | md5sum; echo "[****]"')
    assert lines[lines.index(steps[1]) + 1 :][:2] == [f"{await md5(ODD)}  -", "[]"]
    inspected = await engine.request("GET", f"images/{image}/json")
    history = await engine.request("GET", f"images/{image}/history")
    (cache,) = [volume for volume in await caches.list_all(engine) if volume.tenant == request.tenant]
    assert SECRET not in f"{json.dumps(inspected)} {json.dumps(history)} {lines}"
    assert SECRET.encode() not in await saved(engine, image), "in no layer"
    assert not await asyncio.to_thread(files_with, cache.folder, SECRET)


async def test_a_change_of_variables_repeats_the_apps_steps_only(
    base_image: str, builder: Builder, build_request: Make
) -> None:
    plan = generated(base_image, "echo built with $A")
    tenant = UserId(uuid.uuid4())

    async def built(**values: str) -> list[str]:
        return (await succeeds(builder, *asked(build_request(tenant=tenant), plan, values)))[1]

    await built(A="one")
    same, changed = await built(A="one"), await built(A="two")
    assert [line.split()[0] for line in same if "RUN" in line] == ["CACHED", "CACHED"]
    assert [line.split()[0] for line in changed if "RUN" in line] == ["CACHED", "[stage-0"]
    assert "built with two" in changed


async def test_own_dockerfile_mounts_secrets_and_gets_what_it_declares(
    engine: Engine, base_image: str, builder: Builder, build_request: Make
) -> None:
    tenant = UserId(uuid.uuid4())
    dockerfile = (
        f"FROM {base_image}\nARG SHOWN\nRUN echo no variable here\n"
        "RUN --mount=type=secret,id=HIDDEN,env=HIDDEN echo $SHOWN and ${#HIDDEN}\n"
    )

    async def built(**values: str) -> tuple[str, list[str]]:
        request, _ = asked(build_request(tenant=tenant), own("SHOWN"), values)
        return await succeeds(builder, request, dockerfile)

    image, first = await built(SHOWN="a,b=c d", HIDDEN=SECRET)
    _, same = await built(SHOWN="a,b=c d", HIDDEN=SECRET)
    _, changed = await built(SHOWN="a,b=c d", HIDDEN=f"{SECRET}!")

    assert f"a,b=c d and {len(SECRET)}" in first
    assert sum(line.startswith("CACHED") for line in same) == 2
    assert f"a,b=c d and {len(SECRET) + 1}" in changed
    assert not [line for line in changed if line.startswith("CACHED")], "every step runs again"
    (cache,) = [volume for volume in await caches.list_all(engine) if volume.tenant == tenant]
    history = await engine.request("GET", f"images/{image}/history")
    assert SECRET not in f"{json.dumps(history)} {first} {changed}"
    assert SECRET.encode() not in await saved(engine, image)
    assert not await asyncio.to_thread(files_with, cache.folder, SECRET)


async def test_as_many_variables_as_an_app_may_have_fit_into_a_build(
    base_image: str, builder: Builder, build_request: Make
) -> None:
    limits = config.AppsSettings()
    names = [f"VARIABLE_{number:03}" for number in range(limits.variables)]
    size = limits.variables_bytes // limits.variables - len(names[0])
    steps = "env | wc -c", "env | grep -c VARIABLE_"
    request, dockerfile = asked(
        build_request(), generated(base_image, *steps), {name: "x" * size for name in names}
    )

    _, lines = await succeeds(builder, request, dockerfile)

    assert str(limits.variables) in lines
    assert max(int(line) for line in lines if line.isdecimal()) > limits.variables_bytes * 0.95
    assert not [line for line in lines if len(line) > 300]


async def saved(engine: Engine, image: str) -> bytes:
    """All of an image: its settings, its history and its layers, uncompressed."""
    async with engine.stream("GET", f"images/{image}/get") as stream:
        content = b"".join([piece async for piece in stream.chunks()])
    assert b"manifest.json" in content
    return content


async def md5(text: str) -> str:
    program = await asyncio.create_subprocess_exec(
        "md5sum", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await program.communicate(text.encode())
    return re.split(r"\s", output.decode())[0]


def files_with(folder: Path, text: str) -> list[Path]:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return [path for path in files if text.encode() in path.read_bytes()]
