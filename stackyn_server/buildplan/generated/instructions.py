"""What generated Dockerfiles have in common: their instructions, each in one place."""

from __future__ import annotations

from collections.abc import Iterable

HEADER = "# Made by Stackyn. To change it, commit it as `Dockerfile`."
COPY_ALL = "COPY --chown=app:app . ."
PACKAGES_FIRST = "# Packages first: these steps are kept until these files change."
BUILD_STAGE = "build"


def run(command: str, cache: str = "") -> str:
    """Return the step that runs a command of the project's own: an installation or a build.

    `cache` names a folder /cache, which the tenant's next builds with the same tool find as this one leaves it.
    """
    mount = f"--mount=type=cache,id={cache},target=/cache,uid=1000,gid=1000 " if cache else ""
    return f"RUN {mount}{command}"


def debian_packages(packages: Iterable[str]) -> list[str]:
    """Return the step that installs packages of the base image's Debian; empty without any. Needs the root user."""
    names = sorted(set(packages))
    return [f"RUN stackyn-settle packages {' '.join(names)}"] if names else []


def copy_from_build(folder: str) -> str:
    return f"COPY --from={BUILD_STAGE} --chown=app:app {folder} {folder}"


def dockerfile_text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"
