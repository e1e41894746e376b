"""Removing images together with the nameless parents that the classic builder left below them.

Left to itself, an engine that is asked for this does it in its own way: 28.5 with the containerd store took parents
along that another image's cache still stood on, and at other times left a chain behind (both seen). So each image is
deleted alone, and the chain is walked here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from stackyn_server.engine.client import Engine
from stackyn_server.engine.errors import InUse

# 28.5 with the containerd store takes 7 ms for each image, also for a nameless one (347 images: 2.4 s), so that some
# thousands take longer than any other request may.
_LISTING_SECONDS = 300

_NO_NAME = "<none>:<none>"  # how engines before 25 list an image without a name


async def remove_names(engine: Engine, names: Sequence[str]) -> None:
    """Take these names away, and the images that have no other, and below each the nameless ones that nobody needs.

    Raises `InUse` when a container uses one of the images; the names before it are gone then.
    """
    chain = await _chain(engine)
    for name in names:
        await engine.ask_or_none(engine.docker.images.delete(name, noprune=True))
        await _remove(engine, chain.forget(name))


async def remove_nameless(engine: Engine, image: str) -> None:
    """Remove an image that never got its name, unless another one stands on it, and what only it needed."""
    await _remove(engine, (await _chain(engine)).needless(image))


async def _chain(engine: Engine) -> _Chain:
    listed = await engine.request("GET", "images/json", params={"all": "true"}, seconds=_LISTING_SECONDS)
    return _Chain(
        {
            str(image["Id"]): (
                str(image.get("ParentId") or ""),
                set(image.get("RepoTags") or ()) - {_NO_NAME},
            )
            for image in listed
        }
    )


async def _remove(engine: Engine, images: Iterable[str]) -> None:
    for image in images:
        try:
            await engine.ask_or_none(engine.docker.images.delete(image, noprune=True))
        except InUse:  # by an image or container made since the listing
            break


class _Chain:
    def __init__(self, images: dict[str, tuple[str, set[str]]]) -> None:
        """`images`: id → id of the parent, names."""
        self._images = images
        self._children = Counter(parent for parent, _ in images.values())

    def forget(self, name: str) -> Iterable[str]:
        """Take a name away; yield what nobody needs any more without it."""
        image = next((image for image, (_, names) in self._images.items() if name in names), "")
        if not image:
            return
        self._images[image][1].discard(name)
        yield from self.needless(image)

    def needless(self, image: str) -> Iterable[str]:
        """Yield `image` when it has no name and nothing stands on it, and upwards what nobody needs any more."""
        while image in self._images:
            parent, names = self._images[image]
            if names or self._children[image]:
                return
            yield image
            del self._images[image]
            self._children[parent] -= 1
            image = parent
