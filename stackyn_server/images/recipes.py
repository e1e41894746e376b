"""The recipe of each base image: its name becomes a Dockerfile, by the table of `tools.py` and the files in `recipes/`.

What a Dockerfile can rely on in an image, besides the user app (1000:1000, home /home/app), /app (app's own, the
working directory), the host's certificates in /etc/ssl/certs/ca-certificates.crt and the root user for RUN and COPY:

    stackyn/base:12      Debian 12
    stackyn/python:3.11  python3, python, pip, the venv module; a build makes /app/.venv and ends with USER app
    stackyn/node:22      node, npm, npx; a build runs npm in /app and ends with USER app
    stackyn/static:1     serves /srv/site on $PORT (8080), already as USER app: a build only copies files there
    stackyn/php:8.4      php, composer; `serve-php` serves $DOCUMENT_ROOT on $PORT, as any user
    stackyn/ruby:3.3     ruby, bundle; stackyn/ruby:3.3-build has compilers and headers too
    stackyn/java:21      javac, mvn, to build with; stackyn/jre:21 has java alone, to run what they make
    the others           the tool, and what it compiles with
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from stackyn_server.errors import StackynError
from stackyn_server.images.tools import BUILD, NO_LOCAL_SOURCE, TOOLS

FILES = Path(__file__).with_name("recipes")
_NAME = re.compile(r"stackyn/([a-z]+):([0-9]+(?:\.[0-9]+){0,3}t?)(-build)?")


class NoSuchImage(StackynError):
    code, status = "NO_SUCH_IMAGE", 404


@dataclass(frozen=True, slots=True)
class DebianRoot:
    """A Debian or Ubuntu, on which base images are built where no image registry answers. The first is made by
    debootstrap as root on this machine, the others by the sealed builder, from the Dockerfile in `file` and the images
    in `needs`."""

    name: str
    suite: str
    is_first: bool = False
    file: str = "debian.Dockerfile"
    needs: tuple[str, ...] = ("stackyn/base:12",)


def _ubuntu(number: str, suite: str) -> DebianRoot:
    needs = ("stackyn/base:12", "stackyn/base:13")
    return DebianRoot(f"stackyn/ubuntu-root:{number}", suite, file="ubuntu-root.Dockerfile", needs=needs)


@dataclass(frozen=True, slots=True)
class ImageRecipe:
    """`official` is the image to build on where a registry answers, "" when `below` is used there too. `below` is one
    of our images, "" when the image can be made only with a registry.

    `stages` is a file with the earlier build stages that provide the tool without an official image, `needs` are our
    images that these start from; `files` are also copied into the image. `file` is the end of the Dockerfile, or all of
    it where the image is built on nothing (`suite`).
    """

    name: str
    official: str
    below: str
    file: str
    stages: str = ""
    needs: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    suite: str = ""

    @property
    def version(self) -> str:
        return self.name.rpartition(":")[2].removesuffix(BUILD)

    @property
    def stands_on(self) -> tuple[str, ...]:
        """Our images that it is built on without an official image."""
        return (*((self.below,) if self.below else ()), *self.needs)

    @property
    def can_be_made_here(self) -> bool:
        return bool(self.stands_on)

    def dockerfile(self, *, is_local: bool) -> str:
        """Return the whole Dockerfile; `is_local`: without the official image."""
        text = _text(self.file)
        if not self.suite:
            below = self.below if is_local else self.official
            text = f"{self._stages(text, is_local)}FROM {below}\n{_text('common.Dockerfile')}{text}"
        return (
            text.replace("@VERSION@", self.version)
            .replace("@SUITE@", self.suite)
            .replace("@BELOW@", self.below)
        )

    def context(self) -> Iterator[Path]:
        """Yield our files that the Dockerfile copies or runs."""
        for name in ("settle", *self.files):
            path = FILES / name
            yield from (
                sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else (path,)
            )

    def _stages(self, last: str, is_local: bool) -> str:
        if self.stages and (is_local or not self.needs):
            return _text(self.stages)
        return "FROM scratch AS tool\nWORKDIR /tool\n" if "--from=tool" in last else ""


ROOTS: Mapping[str, DebianRoot] = {
    root.name: root
    for root in (
        DebianRoot("stackyn/debian:12", "bookworm", is_first=True),
        DebianRoot("stackyn/debian:13", "trixie"),
        DebianRoot("stackyn/debian:14", "forky"),
        _ubuntu("18.04", "bionic"),
        _ubuntu("20.04", "focal"),
        _ubuntu("22.04", "jammy"),
        _ubuntu("24.04", "noble"),
        _ubuntu("25.10", "questing"),
        _ubuntu("26.04", "resolute"),
    )
}


def recipe_of(name: str) -> ImageRecipe:
    """Return a recipe by the image's name. Raises `NoSuchImage`."""
    recipe = _recipe(name)
    if recipe is None:
        raise NoSuchImage(
            f"There is no recipe for the image {name}.", hint=f"There are: {', '.join(RECIPES)}."
        )
    return recipe


def is_known(name: str) -> bool:
    """Return whether an image of this name can be made, here or where a registry answers."""
    return _recipe(name) is not None


def _recipe(name: str) -> ImageRecipe | None:
    root = ROOTS.get(name)
    if root is not None and not root.is_first:
        return ImageRecipe(name, "", "", root.file, needs=root.needs, files=("make-root",), suite=root.suite)
    match = _NAME.fullmatch(name)
    tool = TOOLS.get(match[1]) if match else None
    if match is None or tool is None:
        return None
    official = tool.official_of(match[2])
    source = {**tool.releases, **tool.local, **tool.variants}.get(match[2], NO_LOCAL_SOURCE)
    recipe = ImageRecipe(
        name,
        official,
        source.below,
        f"{tool.name}.Dockerfile",
        source.stages or tool.official_stages,
        source.needs,
        (*source.files, *tool.files),
    )
    if match[3]:
        if not tool.has_build_image:
            return None
        below = name.removesuffix(BUILD) if source.below else ""
        recipe = replace(
            recipe, below=below, file=f"{tool.name}-build.Dockerfile", stages="", needs=(), files=()
        )
    return recipe if recipe.official or recipe.can_be_made_here else None


# Those that can be made without a registry.
RECIPES: Mapping[str, ImageRecipe] = {
    name: recipe
    for name in (
        *(root.name for root in ROOTS.values() if not root.is_first),
        *(
            f"stackyn/{tool.name}:{version}{suffix}"
            for tool in TOOLS.values()
            for version in (*tool.local, *tool.variants)
            for suffix in (("", BUILD) if tool.has_build_image else ("",))
        ),
    )
    if (recipe := _recipe(name)) is not None
}
# Made before the first deployment. The others are made when a deployment needs them.
INITIAL_IMAGES = ("stackyn/base:12", "stackyn/python:3.11", "stackyn/node:22", "stackyn/static:1")
INITIAL_ROOTS = tuple(name for name, root in ROOTS.items() if root.is_first)


def digest_of(name: str, host_digest: str) -> str:
    """Return 16 hexadecimal digits of a digest over everything that an image is made from. A change makes it outdated.

    `host_digest` is the digest of this machine's settings. The images below are included.
    """
    content = hashlib.sha256(f"{name} {host_digest}".encode())
    if name in ROOTS and ROOTS[name].is_first:
        content.update(ROOTS[name].suite.encode())
        return content.hexdigest()[:16]
    recipe = recipe_of(name)
    content.update(f"{recipe.official} {recipe.dockerfile(is_local=recipe.can_be_made_here)}".encode())
    for file in recipe.context():
        content.update(
            f"{file.relative_to(FILES)} {file.stat().st_mode & 0o111:o} ".encode() + file.read_bytes()
        )
    for lower in recipe.stands_on:
        content.update(digest_of(lower, host_digest).encode())
    return content.hexdigest()[:16]


def _text(name: str) -> str:
    text = (FILES / name).read_text()
    return text if text.endswith("\n") else f"{text}\n"
