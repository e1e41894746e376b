"""The images of builds: whose they are, what they share, and when they go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from stackyn_server import config
from stackyn_server.engine import containers, images
from stackyn_server.engine.builds import BuildRequest
from stackyn_server.engine.client import Engine
from stackyn_server.engine.containers import ContainerSpec
from tests.engine.building import images_upon, succeeds
from tests.engine.parts import new_id
from tests.patience import patient
from tests.relay import EngineDoor

Make = Callable[..., BuildRequest]


async def test_an_earlier_stage_is_kept_as_cache_and_goes_with_its_image(
    engine: Engine, base_image: str, build_request: Make
) -> None:
    images_before = await images_upon(engine, base_image)
    unique = build_request().deployment
    dockerfile = (
        f"FROM {base_image} AS first\nRUN echo {unique} > /made\n"
        f"FROM {base_image}\nCOPY --from=first /made /made\nRUN cat /made\n"
    )
    first, _ = await succeeds(engine, build_request(), dockerfile)

    second, lines = await succeeds(engine, build_request(), dockerfile)

    assert lines.count(" ---> Using cache") >= 3, lines
    for image in (second, first):
        assert await images.remove(engine, image)
    assert await images_upon(engine, base_image) - images_before == set()


async def test_removing_an_image_leaves_the_cache_of_another(
    engine: Engine, base_image: str, build_request: Make
) -> None:
    dockerfile = f"FROM {base_image}\nRUN echo {build_request().deployment} > /made\n"
    first, _ = await succeeds(engine, build_request(), dockerfile)
    second, _ = await succeeds(engine, build_request(), dockerfile)

    assert await images.remove(engine, first)
    third, lines = await succeeds(engine, build_request(), dockerfile)

    assert lines.count(" ---> Using cache") == 1, lines
    assert await images.inspect(engine, second) is not None
    assert third != second


async def test_an_image_that_lost_its_name_is_removed_too(
    engine: Engine, base_image: str, build_request: Make
) -> None:
    """As one whose engine died between the last layer and the name."""
    images_before = await images_upon(engine, base_image)
    request = build_request()
    nameless, _ = await succeeds(engine, request, f"FROM {base_image}\nRUN echo one {request.deployment}\n")
    named, _ = await succeeds(engine, request, f"FROM {base_image}\nRUN echo two {request.deployment}\n")

    assert await images.remove(engine, nameless)

    assert await images.inspect(engine, nameless) is None
    assert await images.inspect(engine, named) is not None
    assert await images.remove(engine, named)
    assert await images_upon(engine, base_image) - images_before == set()


async def test_a_listing_may_take_longer_than_other_questions(
    engine: Engine, base_image: str, build_request: Make, tmp_path: Path
) -> None:
    """As it does with some thousand images in the containerd store."""
    image, _ = await succeeds(engine, build_request(), f"FROM {base_image}\nRUN echo long\n")
    door = EngineDoor(tmp_path / "engine.sock", engine.settings.socket)
    await door.open()
    settings = config.Engine(socket=door.path, request_seconds=patient(1))
    try:
        async with Engine(settings, engine.network, engine.labels.installation) as hurried:
            async with door.keeping("images/json?all="):
                removal = asyncio.create_task(images.remove(hurried, image))
                await asyncio.sleep(2 * patient(1))
            assert await removal
    finally:
        await door.shut()
    assert await images.inspect(engine, image) is None


async def test_an_image_in_use_is_not_removed_and_says_so(
    engine: Engine, base_image: str, build_request: Make, spec: Callable[..., ContainerSpec]
) -> None:
    request = build_request()
    image, _ = await succeeds(engine, request, f"FROM {base_image}\nRUN echo in-use\n")
    container = await containers.start(engine, spec(image=image))

    assert not await images.remove(engine, image)
    assert await images.inspect(engine, request.tag) is not None
    await containers.remove(engine, container)
    assert await images.remove(engine, image)
    assert await images.remove(engine, image), "absent is success"


async def test_a_name_of_the_operators_keeps_an_image(
    engine: Engine, base_image: str, build_request: Make
) -> None:
    request, keep = build_request(), f"stackyn-test/kept:{new_id()}"
    image, _ = await succeeds(engine, request, f"FROM {base_image}\nRUN echo kept\n")
    await images.tag(engine, image, keep)
    try:
        await images.remove(engine, image)
        assert await images.inspect(engine, request.tag) is None
        assert await images.inspect(engine, keep) is not None
    finally:
        await engine.request_or_none("DELETE", f"images/{keep}")


async def test_an_image_can_not_claim_another_app_by_its_own_labels(
    engine: Engine, base_image: str, build_request: Make
) -> None:
    request = build_request()
    claims = "io.stackyn.image.app=1 io.stackyn.image.deployment=2 io.stackyn.image.installation=another"

    image, _ = await succeeds(engine, request, f"FROM {base_image}\nLABEL {claims}\n")

    found = await images.inspect(engine, image)
    assert found is not None
    assert (found.app, found.deployment) == (request.app, request.deployment)
    assert image in {one.id for one in await images.list_ours(engine)}
