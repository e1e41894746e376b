"""`stackyn detect`: explains how the server would build a folder, without building it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.buildplan.file_sizes import bytes_allowed, file_too_large, may_be_passed_over
from stackyn_server.buildplan.plan import make_plan
from stackyn_server.buildplan.project import PlanOptions
from stackyn_server.config import Settings
from stackyn_server.images.catalogue import toolchains


@dataclass(frozen=True, slots=True)
class Files(Mapping[str, bytes]):
    """The files below a folder, read on access, with the size limits of a commit."""

    folder: Path
    names: frozenset[str]

    def __getitem__(self, path: str) -> bytes:
        file = self.folder / path
        if path not in self.names or not file.is_file():
            raise KeyError(path)
        if file.stat().st_size > bytes_allowed(path):
            if may_be_passed_over(path):
                raise KeyError(path)
            raise file_too_large(path)
        return file.read_bytes()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def plan_folder(
    folder: Path, settings: Settings, root_directory: str | None = None, *, has_registry: bool = False
) -> BuildPlan:
    """Plan as the server does for a commit with these files. Raises `DeploymentFailed` as for the app's owner."""
    names = frozenset(_files_of_git(folder) or _files_on_disk(folder))
    options = PlanOptions(
        toolchains=toolchains(settings.images, has_registry=has_registry),
        default_port=settings.apps.default_port,
        root_directory=root_directory,
    )
    return make_plan(names, Files(folder, names), options)


def explanation(plan: BuildPlan) -> Iterator[str]:
    """Yield the lines that explain a plan, and the Dockerfile that it generates."""
    yield f"Runtime: {plan.runtime}"
    yield from (f"  {reason}" for reason in plan.reasons)
    if plan.root:
        yield f"Folder: {plan.root}"
    if plan.port is not None:
        yield f"Port: {plan.port}"
    if plan.base_images:
        yield f"Base images: {', '.join(plan.base_images)}"
    if plan.generated is None:
        yield f"Dockerfile: {plan.dockerfile}"
    else:
        yield from ("", plan.generated.rstrip("\n"))


def _files_of_git(folder: Path) -> list[str]:
    """Return the files that a commit of everything would have; none for a folder outside a repository."""
    command = ("git", "-C", str(folder), "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    output = subprocess.run(command, capture_output=True, check=False)
    return [] if output.returncode else [name for name in os.fsdecode(output.stdout).split("\0") if name]


def _files_on_disk(folder: Path) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != ".git"]
        yield from (os.path.relpath(os.path.join(place, name), folder) for name in files)
