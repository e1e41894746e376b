"""Make the missing base images and the builder image, in the order of their dependencies."""

from __future__ import annotations

import asyncio
import fcntl
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from stackyn_server.config import Settings
from stackyn_server.engine.builder.registry_availability import RegistryAvailability
from stackyn_server.engine.client import Engine
from stackyn_server.engine.errors import EngineRefused, EngineUnavailable
from stackyn_server.errors import StackynError
from stackyn_server.images import builder_image, debian, host_settings
from stackyn_server.images.base_image_build import BaseImageBuilder, ImageNotMade, open_base_image_builder
from stackyn_server.images.base_image_store import MAKING, BaseImageStore, StoredBaseImage
from stackyn_server.images.builder_image import BuilderNotMade
from stackyn_server.images.builder_programs import BuilderPrograms, official_image
from stackyn_server.images.host_settings import HostSettings
from stackyn_server.images.recipes import (
    INITIAL_IMAGES,
    INITIAL_ROOTS,
    ROOTS,
    ImageRecipe,
    NoSuchImage,
    digest_of,
    recipe_of,
)
from stackyn_server.images.steps import Steps

_LOCK_SECONDS = 0.5  # the pause between attempts to take the lock of another process


class NeedsRegistry(StackynError):
    """The image can't be made from packages, and no registry answers."""

    code = "NEEDS_REGISTRY"


class ImageMaker:
    """Makes the images of one machine. `is_fresh`: existing images are made anew, with today's packages.
    `may_go_without`: an image that the registry does not serve is made from packages where that is possible."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        steps: Steps,
        *,
        registry: RegistryAvailability | None = None,
        is_fresh: bool = False,
        may_go_without: bool = True,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._steps = steps
        self._registry = registry or RegistryAvailability(settings)
        self._is_fresh = is_fresh
        self._may_go_without = may_go_without
        self._host = HostSettings({}, ())  # until it is read
        self._made: set[str] = set()  # made by this run, so they are fresh
        self._image_store = BaseImageStore(settings.images.directory)
        self._programs = BuilderPrograms(settings.images.directory)

    async def missing(self, names: Sequence[str] = INITIAL_IMAGES) -> list[str]:
        """Return the images that are missing, or were made from other recipes, certificates or settings."""
        await self._read_host()
        builder = [] if await self._has_builder() else [self._settings.images.builder]
        return builder + [name for name in names if not await self._is_current(name)]

    async def make(self, names: Sequence[str] = INITIAL_IMAGES) -> None:
        """Make the missing images of `names` and those that they are built on. Errors have sentences for the
        operator."""
        async with self._alone():
            missing = await self.missing(names)
            if not missing:
                return
            for file in self._host.left_out:
                self._steps.say(f"{file} holds a credential: builds do not get it.")
            is_local = not await self._asks_registry()
            if self._settings.images.builder in missing:
                await self._make_builder(is_local)
                missing.remove(self._settings.images.builder)
            if missing:
                async with open_base_image_builder(self._engine, self._settings) as builder:
                    for name in missing:
                        await self._ensure(name, builder, is_local)
            await asyncio.to_thread(self._image_store.prune)

    async def forget_outdated(self) -> list[str]:
        """Remove images that were made for deployments from other recipes, certificates or settings, or all of them
        with `is_fresh`. The next deployment that needs one makes it again. Return their names."""
        await self._read_host()
        entries = await asyncio.to_thread(self._image_store.entries)
        made_for_deployments = [name for name in entries if name not in (*INITIAL_IMAGES, *INITIAL_ROOTS)]
        outdated = [name for name in made_for_deployments if not await self._is_current(name)]
        if outdated:
            await asyncio.to_thread(self._image_store.remove, outdated)
        return outdated

    async def _ensure(self, name: str, builder: BaseImageBuilder, is_local: bool) -> None:
        """Make one image, after the images that it is built on."""
        if await self._is_current(name):
            return
        if name in ROOTS and ROOTS[name].is_first:
            await self._make_root(name)
            return
        recipe = recipe_of(name)
        if not is_local and recipe.official:
            try:
                with self._steps.step(f"{name}, on {recipe.official}"):
                    await self._build(recipe, builder, is_local=False)
                return
            except ImageNotMade as error:
                if not self._may_go_without or not recipe.can_be_made_here:
                    raise
                self._steps.say(f"{error.message} It is made from packages instead.")
                is_local = True
        if not recipe.can_be_made_here:
            raise NeedsRegistry(f"{name} is made from {recipe.official}, and no image registry answers.")
        for lower in recipe.stands_on:
            await self._ensure(lower, builder, is_local)
        with self._steps.step(name):
            await self._build(recipe, builder, is_local=True)

    async def _build(self, recipe: ImageRecipe, builder: BaseImageBuilder, *, is_local: bool) -> None:
        entries = await asyncio.to_thread(self._image_store.entries)
        below = {lower: entries[lower].digest for lower in recipe.stands_on if is_local}
        built = await builder.build(recipe, self._host, below, is_local=is_local)
        await asyncio.to_thread(self._image_store.take, recipe.name, await self._digest(recipe.name), built)
        self._made.add(recipe.name)

    async def _make_root(self, name: str) -> StoredBaseImage:
        with self._steps.step(f"{name}, by debootstrap"):
            async with _work_folder() as work:
                root = await debian.make_root(ROOTS[name].suite, work)
                architecture = (await self._engine.request("GET", "version"))["Arch"]
                digest = await self._digest(name)
                entry = await asyncio.to_thread(self._image_store.take_root, name, digest, root, architecture)
        self._made.add(name)
        return entry

    async def _has_builder(self) -> bool:
        name = self._settings.images.builder
        if self._is_fresh and name not in self._made:
            return False
        recipe = await asyncio.to_thread(builder_image.recipe_digest, self._host.digest)
        return await builder_image.is_made(self._engine, name, recipe)

    async def _make_builder(self, is_local: bool) -> None:
        name = self._settings.images.builder
        async with _work_folder() as work:
            is_pulled = not is_local and await self._pull_for_builder(work)
            root = None if is_pulled else await self._root_of_builder()
            if not await asyncio.to_thread(self._programs.are_here):
                await self._programs.compile(work, self._steps)
            with self._steps.step(name):
                await builder_image.make(self._engine, name, root, self._programs.folder, self._host)
        self._made.add(name)

    async def _pull_for_builder(self, work: Path) -> bool:
        """Pull the builder's Debian and programs from the registry. False when one of them is missing there."""
        try:
            with self._steps.step(f"{builder_image.OFFICIAL_ROOT}, from the registry"):
                await builder_image.pull(self._engine, builder_image.OFFICIAL_ROOT)
            if not await asyncio.to_thread(self._programs.are_here):
                with self._steps.step(f"{official_image()}, from the registry"):
                    await builder_image.pull(self._engine, official_image())
                    programs = await builder_image.copy_official_programs(self._engine, work)
                    await asyncio.to_thread(self._programs.keep, programs)
        except (BuilderNotMade, EngineRefused, EngineUnavailable) as error:
            self._steps.say(f"{error.message} It is made here, from packages.")
            return False
        return True

    async def _root_of_builder(self) -> Path:
        name = builder_image.LOCAL_ROOT
        if await self._is_current(name):
            entry = (await asyncio.to_thread(self._image_store.entries))[name]
        else:
            entry = await self._make_root(name)
        (layer,) = await asyncio.to_thread(self._image_store.layers, entry)
        return layer

    async def _asks_registry(self) -> bool:
        is_there = await self._registry.is_reachable()
        if not is_there and self._settings.images.source == "auto":
            self._steps.say("No image registry answers: images are made here, from packages.")
        return is_there

    async def _is_current(self, name: str) -> bool:
        if self._is_fresh and name not in self._made:
            return False
        entries = await asyncio.to_thread(self._image_store.entries)
        if name not in entries:
            return False
        if name in ROOTS:
            return True  # it depends on no setting of this machine but its mirror
        try:
            return entries[name].recipe == await self._digest(name)
        except NoSuchImage:  # an image of an older version of this server
            return False

    async def _digest(self, name: str) -> str:
        return await asyncio.to_thread(digest_of, name, self._host.digest)

    async def _read_host(self) -> None:
        self._host = await asyncio.to_thread(host_settings.read_host_settings)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Hold the lock that only one maker on this machine can have."""
        folder = self._image_store.folder
        await asyncio.to_thread(self._image_store.prepare)
        lock = await asyncio.to_thread((folder / MAKING).open, "wb")
        try:
            await _until_locked(lock)
            yield
        finally:
            lock.close()


async def _until_locked(lock: BinaryIO) -> None:
    """Take a lock that another process may hold for minutes. It is polled: a waiting thread could not be cancelled."""
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            await asyncio.sleep(_LOCK_SECONDS)


@asynccontextmanager
async def _work_folder() -> AsyncIterator[Path]:
    folder = await asyncio.to_thread(tempfile.mkdtemp, prefix="stackyn-")
    try:
        yield Path(folder)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder)
