"""Images from which no instance can be started, and what is said of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from stackyn_server.domain.failures import DeploymentFailed, FailureCode
from stackyn_server.engine import containers
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_spec import ContainerSpec
from tests.engine.parts import busybox_files, ended, imported, tar

Spec = Callable[..., ContainerSpec]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"command": None, "image": "{nothing}"}, "no start command"),
        ({"command": None, "image": "{stranger}"}, "could not be run"),
    ],
    ids=["no-command", "unknown-user"],
)
async def test_unstartable_image_fails_with_reason_and_leaves_nothing(
    engine: Engine, spec: Spec, odd_images: dict[str, str], changes: dict[str, str], words: str
) -> None:
    container_spec = spec(**{key: odd_images.get(str(value), value) for key, value in changes.items()})

    with pytest.raises(DeploymentFailed, match=words) as caught:
        await containers.start(engine, container_spec)

    assert not caught.value.retryable
    assert caught.value.failure.code is FailureCode.APP_EXITED
    assert await containers.find(engine, container_spec.instance) is None


@pytest.mark.parametrize(
    ("settings", "evidence"),
    [
        ("USER -5", "uids and gids must be in range"),
        ("USER 1000:4294967295", "uids and gids must be in range"),
        ("WORKDIR /bin/busybox", "/bin/busybox is not a directory"),
        ("WORKDIR /bin/busybox/below", "not a directory"),
        ("WORKDIR /proc/below", "mkdir /proc/below"),
        (f"WORKDIR /{'long' * 70}", "file name too long"),
        ("VOLUME /bin/busybox", "/bin/busybox"),
        (f"VOLUME /{'long' * 70}", "file name too long"),
    ],
)
async def test_impossible_image_settings_are_the_images_fault(
    engine: Engine, spec: Spec, settings: str, evidence: str
) -> None:
    """The engine reports most of them as faults of its own."""
    image = await imported(engine, tar(busybox_files()), settings, 'CMD ["/bin/sh"]')
    try:
        with pytest.raises(DeploymentFailed, match="No container can be made") as caught:
            await containers.start(engine, container_spec := spec(command=None, image=image))
        assert not caught.value.retryable
        assert evidence in caught.value.failure.evidence
        assert "/overlay" not in caught.value.failure.evidence, "the machine's own folders are not shown"
        assert await containers.find(engine, container_spec.instance) is None
    finally:
        await engine.request_or_none("DELETE", f"images/{image}")


async def test_folder_in_place_of_an_engine_file_is_the_images_fault(engine: Engine, spec: Spec) -> None:
    files = {**busybox_files(), "etc/hosts/file": b"text"}
    image = await imported(engine, tar(files), 'CMD ["/bin/sh"]')
    try:
        with pytest.raises(DeploymentFailed, match="No container can be made") as caught:
            await containers.start(engine, spec(command=None, image=image))
        assert not caught.value.retryable
    finally:
        await engine.request_or_none("DELETE", f"images/{image}")


@pytest.mark.parametrize(
    ("changes", "program"),
    [
        ({"command": "sleep 1", "image": "{nothing}"}, "/bin/sh"),
        ({"command": None, "image": "{absent-program}"}, "/no/such/program"),
    ],
    ids=["no-shell", "unknown-program"],
)
async def test_missing_program_ends_with_127_and_its_name(
    engine: Engine, spec: Spec, odd_images: dict[str, str], changes: dict[str, str], program: str
) -> None:
    container_spec = spec(**{key: odd_images.get(str(value), value) for key, value in changes.items()})

    state = await ended(engine, await containers.start(engine, container_spec))

    assert state.exit_code == 127
    assert program in await containers.last_lines(engine, state.id)


@pytest.fixture(scope="module")
async def odd_images(engine: Engine) -> AsyncIterator[dict[str, str]]:
    """Images that can be made and can't be started."""
    shell = tar(busybox_files())
    image_ids = {
        "{nothing}": await imported(engine, tar({"file": b"text"})),
        "{stranger}": await imported(engine, shell, "USER nobody-knows-me", 'CMD ["sleep", "1"]'),
        "{absent-program}": await imported(engine, shell, 'CMD ["/no/such/program"]'),
    }
    yield image_ids
    for image in image_ids.values():
        await engine.request_or_none("DELETE", f"images/{image}")


async def test_an_image_that_is_gone_is_said_so(engine: Engine, spec: Spec) -> None:
    with pytest.raises(DeploymentFailed, match="no longer on this server"):
        await containers.start(engine, spec(image="sha256:" + "0" * 64))
