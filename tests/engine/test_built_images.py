"""The images of deployments: whose they are, and when they go."""

from __future__ import annotations

from collections.abc import Callable

from stackyn_server.domain.ids import AppId, DeploymentId
from stackyn_server.engine import containers, images
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_spec import ContainerSpec
from tests.engine.parts import busybox_files, imported, new_id, tar


async def made(engine: Engine) -> tuple[str, str]:
    """Have an image of a deployment; returns its id and its name."""
    app, deployment = AppId(new_id()), DeploymentId(new_id())
    labels = engine.labels.app_image(app, deployment)
    image = await imported(engine, tar(busybox_files()), *(f"LABEL {k}={v}" for k, v in labels.items()))
    name = images.tag_of(engine, app, deployment)
    await images.tag(engine, image, name)
    return image, name


async def test_an_image_goes_with_all_names_that_we_gave_it(engine: Engine) -> None:
    image, name = await made(engine)
    await images.tag(engine, image, f"{name}-again")

    assert await images.remove(engine, image)

    assert await images.inspect(engine, image) is None
    assert await images.remove(engine, image), "absent is success"


async def test_an_image_that_lost_its_name_is_removed_too(engine: Engine) -> None:
    """As one whose engine died between the last layer and the name."""
    labels = engine.labels.app_image(AppId(new_id()), DeploymentId(new_id()))
    nameless = await imported(engine, tar(busybox_files()), *(f"LABEL {k}={v}" for k, v in labels.items()))

    assert await images.remove(engine, nameless)

    assert await images.inspect(engine, nameless) is None


async def test_an_image_in_use_is_not_removed_and_says_so(
    engine: Engine, spec: Callable[..., ContainerSpec]
) -> None:
    image, name = await made(engine)
    container = await containers.start(engine, spec(image=image))

    assert not await images.remove(engine, image)
    assert await images.inspect(engine, name) is not None
    await containers.remove(engine, container)
    assert await images.remove(engine, image)


async def test_a_name_of_the_operators_keeps_an_image(engine: Engine) -> None:
    image, name = await made(engine)
    await images.tag(engine, image, keep := f"stackyn-test/kept:{new_id()}")
    try:
        await images.remove(engine, image)
        assert await images.inspect(engine, name) is None
        assert await images.inspect(engine, keep) is not None
    finally:
        await engine.request_or_none("DELETE", f"images/{keep}")
