"""How each base image is made: one row here, one Dockerfile in the folder beside.

What an image promises to a Dockerfile, besides the user app (1000:1000, home /home/app), /app (app's own, the working
directory), the host's certificates in /etc/ssl/certs/ca-certificates.crt and the root user for RUN and COPY:

    stackyn/base:12      Debian 12
    stackyn/python:3.11  python3, python, pip, the venv module; a build makes /app/.venv and ends with USER app
    stackyn/node:22      node, npm, npx; a build runs npm in /app and ends with USER app
    stackyn/static:1     serves /srv/site on $PORT (8080), already as USER app: a build only copies files there
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stackyn_server.errors import StackynError

FILES = Path(__file__).with_name("recipes")
_OF_ALL = ("common.Dockerfile", "settle")


class NoSuchImage(StackynError):
    code, status = "NO_SUCH_IMAGE", 404


@dataclass(frozen=True, slots=True)
class DebianRoot:
    """A Debian made by debootstrap: what base images stand on where no image registry answers."""

    name: str
    suite: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """`official` is the image below it where a registry answers; `below` is one of ours, where none does.

    `stages` is a file with the earlier stages that bring the tool where none does, `needs` the images of ours that
    those start from; `files` is what else is copied into the image.
    """

    name: str
    official: str
    below: str
    stages: str = ""
    needs: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    @property
    def tool(self) -> str:
        return self.name.removeprefix("stackyn/").partition(":")[0]

    def dockerfile(self, *, is_local: bool) -> str:
        """Return the whole Dockerfile; `is_local` when it has to do without an image registry."""
        stages = ""
        if self.stages:
            stages = _text(self.stages) if is_local else "FROM scratch AS tool\nWORKDIR /tool\n"
        below = self.below if is_local else self.official
        return f"{stages}FROM {below}\n{_text('common.Dockerfile')}{_text(f'{self.tool}.Dockerfile')}"

    def context(self) -> Iterator[Path]:
        """Yield our files that the Dockerfile copies, or that decide what it becomes."""
        for name in ("settle", *self.files):
            path = FILES / name
            yield from (
                sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else (path,)
            )


ROOTS: Mapping[str, DebianRoot] = {root.name: root for root in (DebianRoot("stackyn/debian:12", "bookworm"),)}

RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("stackyn/base:12", "debian:bookworm-slim", below="stackyn/debian:12"),
        Recipe("stackyn/python:3.11", "python:3.11-slim-bookworm", below="stackyn/base:12"),
        Recipe(
            "stackyn/node:22",
            "node:22-bookworm-slim",
            below="stackyn/base:12",
            stages="node.stages",
            needs=("stackyn/python:3.11",),
            files=("node.lock",),
        ),
        Recipe("stackyn/static:1", "nginx:stable-bookworm", below="stackyn/base:12", files=("site",)),
    )
}


def recipe_of(name: str) -> Recipe:
    """Return a recipe by the image's name. Raises `NoSuchImage`."""
    recipe = RECIPES.get(name)
    if recipe is None:
        raise NoSuchImage(
            f"There is no recipe for the image {name}.", hint=f"There are: {', '.join(RECIPES)}."
        )
    return recipe


def digest_of(name: str, host_digest: str) -> str:
    """Return 16 hexadecimal digits of everything that an image is made from: it is made anew when they change.

    `host_digest` is that of this machine's settings. The images below count too.
    """
    content = hashlib.sha256(f"{name} {host_digest}".encode())
    if name in ROOTS:
        content.update(ROOTS[name].suite.encode())
        return content.hexdigest()[:16]
    recipe = recipe_of(name)
    content.update(f"{recipe.official} {recipe.dockerfile(is_local=True)}".encode())
    for file in recipe.context():
        content.update(
            f"{file.relative_to(FILES)} {file.stat().st_mode & 0o111:o} ".encode() + file.read_bytes()
        )
    for other in (recipe.below, *recipe.needs):
        content.update(digest_of(other, host_digest).encode())
    return content.hexdigest()[:16]


def _text(name: str) -> str:
    text = (FILES / name).read_text()
    return text if text.endswith("\n") else f"{text}\n"
