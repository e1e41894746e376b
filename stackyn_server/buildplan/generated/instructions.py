"""The instructions that generated Dockerfiles share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

HEADER = "# Made by Stackyn. To change it, commit it as `Dockerfile`."
COPY_ALL = "COPY --chown=app:app . ."
PACKAGES_FIRST = "# Packages first: these steps are kept until these files change."
BUILD_STAGE = "build"
APP_UID = 1000  # of `app`, user and group, in every base image


def run(command: str, cache: str = "") -> str:
    """Return the step that runs a command of the project's own: an installation or a build.

    `cache` names the cache that is mounted at /cache for the user `app`: the app's next builds find its files.
    """
    mount = f"--mount=type=cache,id={cache},target=/cache,uid={APP_UID},gid={APP_UID} " if cache else ""
    return f"RUN {mount}{command}"


@dataclass(frozen=True, slots=True)
class SystemPackages:
    """Debian packages that an app needs: `build` to install its dependencies, `run` at run time; `causes` say why."""

    build: tuple[str, ...]
    run: tuple[str, ...]
    causes: tuple[str, ...]
    is_compiled: bool

    @classmethod
    def of(cls, build: Iterable[str], run: Iterable[str], causes: Iterable[str], is_compiled: bool) -> Self:
        return cls(tuple(sorted(set(build))), tuple(sorted(set(run))), tuple(causes), is_compiled)


def debian_packages(packages: Iterable[str]) -> list[str]:
    """Return the step that installs packages of the base image's Debian; empty without any. Needs the root user."""
    names = sorted(set(packages))
    return [f"RUN stackyn-settle packages {' '.join(names)}"] if names else []


def copy_from_build(folder: str) -> str:
    return f"COPY --from={BUILD_STAGE} --chown=app:app {folder} {folder}"


def dockerfile_text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"
