"""A base image is made by the sealed builder, and stays as it is until its recipe changes."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stackyn_server import config
from stackyn_server.engine.client import Engine
from stackyn_server.images import base_image_build, recipes
from stackyn_server.images.base_image_build import ImageNotMade
from stackyn_server.images.base_image_store import BaseImageStore
from stackyn_server.images.image_maker import ImageMaker
from tests.engine.builder.own_registry import own_registry
from tests.engine.own_host import own_host

pytestmark = pytest.mark.timeout(240)

NAME = "stackyn/base:12"


class RecordedSteps:
    """The titles of the steps."""

    def __init__(self) -> None:
        self.titles: list[str] = []

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        self.titles.append(title)
        yield

    def say(self, sentence: str) -> None: ...


@pytest.fixture
def settings(tmp_path: Path) -> config.Settings:
    """A folder with this machine's Debian, if it has one, and without anything made on it."""
    machine = BaseImageStore(config.ImagesSettings().directory)
    own = BaseImageStore(tmp_path / "images")
    for name in recipes.INITIAL_ROOTS:
        if (entry := machine.entries().get(name)) is not None:
            (tar,) = machine.layers(entry)
            own.take_root(name, entry.recipe, tar, "amd64")
    return config.Settings(images=config.ImagesSettings(directory=own.folder, source="local"))


@pytest.fixture
def failing_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = tmp_path / "recipes"
    shutil.copytree(recipes.FILES, files)
    (files / "base.Dockerfile").write_text("RUN echo the disk is on fire >&2; exit 3\n")
    monkeypatch.setattr(recipes, "FILES", files)
    monkeypatch.setattr(base_image_build, "FILES", files)


async def test_missing_image_is_made_once(engine: Engine, settings: config.Settings) -> None:
    steps = RecordedSteps()
    maker = ImageMaker(engine, settings, steps)
    assert await maker.missing([NAME]) == [NAME]

    await maker.make([NAME])

    assert steps.titles[-1] == NAME
    assert await maker.missing([NAME]) == []
    config_of_image, layers = await asyncio.to_thread(look_at, settings, NAME)
    assert "LANG=C.UTF-8" in config_of_image["config"]["Env"]
    assert config_of_image["config"]["WorkingDir"] == "/app"
    assert all(layer.endswith(".tar") for layer in layers), "a build would have to unpack them each time"

    steps.titles.clear()
    await ImageMaker(engine, settings, steps).make([NAME])
    assert steps.titles == []


async def test_recipe_that_fails_changes_nothing_and_says_why(
    engine: Engine, settings: config.Settings, failing_recipe: None
) -> None:
    volumes_before = await volumes_of_making(engine)

    with pytest.raises(ImageNotMade, match="the disk is on fire"):
        await ImageMaker(engine, settings, RecordedSteps()).make([NAME])

    here = await asyncio.to_thread(BaseImageStore(settings.images.directory).entries)
    assert NAME not in here
    assert await volumes_of_making(engine) <= volumes_before


async def test_registry_gives_the_official_image_of_a_version(
    engine: Engine, settings: config.Settings, tmp_path: Path
) -> None:
    """A registry that mirrors Docker Hub, and has one version of one tool under its official name."""
    layers = await asyncio.to_thread(layers_of_debian)
    async with own_host() as host, own_registry(host, tmp_path / "registry", 5000) as registry:
        await registry.push("library/node", layers, {"Env": ["NODE_VERSION=22.4.0"]}, "22.4.0-bookworm-slim")
        settings = settings.model_copy(
            update={
                "images": config.ImagesSettings(directory=settings.images.directory, source="registry"),
                "builds": config.BuildsSettings(
                    plain_http_registries=(registry.address,), mirrors={"docker.io": (registry.address,)}
                ),
            }
        )
        maker = ImageMaker(engine, settings, RecordedSteps(), may_go_without=False)

        await maker.make(["stackyn/node:22.4.0"])
        with pytest.raises(ImageNotMade) as lacking:
            await maker.make(["stackyn/node:22.4.1"])

    assert not lacking.value.retryable and "22.4.1" in lacking.value.message
    config_of_image, _ = await asyncio.to_thread(look_at, settings, "stackyn/node:22.4.0")
    assert "NODE_VERSION=22.4.0" in config_of_image["config"]["Env"]
    here = await asyncio.to_thread(BaseImageStore(settings.images.directory).entries)
    assert set(here) == {*recipes.INITIAL_ROOTS, "stackyn/node:22.4.0"}, "nothing was made from packages"


def layers_of_debian() -> list[bytes]:
    machine = BaseImageStore(config.ImagesSettings().directory)
    return [layer.read_bytes() for layer in machine.layers(machine.entries()["stackyn/debian:12"])]


async def volumes_of_making(engine: Engine) -> set[str]:
    listed = await engine.request("GET", "volumes", params={"filters": '{"name": ["stackyn-base-images"]}'})
    return {volume["Name"] for volume in listed["Volumes"] or ()}


def look_at(settings: config.Settings, name: str) -> tuple[dict[str, dict[str, object]], list[str]]:
    """Return an image's configuration and the media types of its layers."""
    layout = BaseImageStore(settings.images.directory)
    manifest = json.loads(layout.blob(layout.entries()[name].digest).read_bytes())
    content = json.loads(layout.blob(manifest["config"]["digest"]).read_bytes())
    return content, [layer["mediaType"] for layer in manifest["layers"]]
