"""The base images that planning may choose from on this server."""

from __future__ import annotations

from stackyn_server.buildplan.toolchains import Toolchains
from stackyn_server.config import Images


def toolchains(images: Images) -> Toolchains:
    """Return the catalogue: the images that `[images]` names, and the Debian that they stand on."""
    return Toolchains.of_images(
        python=images.python, node=images.node, static=images.static, base="stackyn/base:12"
    )
