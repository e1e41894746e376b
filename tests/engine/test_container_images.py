"""Images from which no instance can be started, and what is said of them."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from stackyn_server.domain.failures import DeploymentFailed, FailureCode
from stackyn_server.domain.ids import AppId, DeploymentId, UserId
from stackyn_server.engine import builds, containers, images, networks
from stackyn_server.engine.client import Engine
from stackyn_server.engine.containers import ContainerSpec
from tests.engine.parts import (
    context,
    ended,
    new_id,
)

Spec = Callable[..., ContainerSpec]


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
