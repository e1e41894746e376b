"""The base images that planning may choose from on this server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from stackyn_server.buildplan.versions.toolchains import ToolBaseImages, Toolchains
from stackyn_server.config import ImagesSettings
from stackyn_server.images.tools import TOOLS


def toolchains(images: ImagesSettings, *, has_registry: bool) -> Toolchains:
    """Return the catalogue: all tools in their available versions, with the images of `[images]` as defaults."""
    tools = dict(_tools(has_registry))
    for name, image in (("python", images.python), ("node", images.node), ("static", images.static)):
        repository, _, version = image.rpartition(":")
        tool = tools[name]
        if repository == tool.repository and version in tool.versions:
            tools[name] = replace(tool, default=version)
        else:  # the operator's own image
            tools[name] = ToolBaseImages(repository, (version,), version)
    return Toolchains(tools, source="registry" if has_registry else "local")


def _tools(has_registry: bool) -> Iterator[tuple[str, ToolBaseImages]]:
    for tool in TOOLS.values():
        is_official = has_registry and bool(tool.lines)
        versions = tool.lines if is_official else tuple(tool.local)
        runs_on = dict(tool.runs_on)
        if is_official:
            runs_on = {line: tool.runs_on_official.format(line) for line in versions if tool.runs_on_official}
        if versions:
            yield (
                tool.name,
                ToolBaseImages(
                    f"stackyn/{tool.name}",
                    (*versions, *tool.variants),
                    tool.default,
                    has_all_patches=is_official and tool.has_all_patches,
                    releases=() if is_official else tuple(tool.releases),
                    release_of_line={} if is_official else dict(tool.release_of_line),
                    has_build_image=tool.has_build_image,
                    runs_on=runs_on,
                    seldom=tuple(version for version in tool.seldom if version in versions),
                ),
            )
