"""Detects a Dockerfile that packs a program built elsewhere, as release tools do: it can't build a commit. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from posixpath import basename, normpath

from stackyn_server.buildplan.formats.structured_files import text_at, toml
from stackyn_server.buildplan.project import Project
from stackyn_server.buildplan.runtimes.dockerfile.runtime import find_dockerfile
from stackyn_server.buildplan.runtimes.dockerfile.syntax import read_dockerfile

_MODULE = re.compile(r"^module[ \t]+\"?([^\s\"]+)", re.MULTILINE)
_VERSION = re.compile(r"/v\d+$")
_COMMAND = re.compile(r"cmd/([^/]+)/[^/]+\.go")


def reason_to_skip(project: Project) -> str | None:
    """Return the sentence for a Dockerfile that copies the project's own program, which is not in the repository.

    None for any other Dockerfile, and if the owner has chosen it.
    """
    options = project.options
    path = find_dockerfile(project.files)
    is_chosen_by_owner = options.use_dockerfile is not None or options.dockerfile_path or options.build_target
    if path is None or is_chosen_by_owner or project.is_set_to("dockerfile"):
        return None
    names = frozenset(_programs(project))
    for source in read_dockerfile(project.text(path) or "").copied if names else ():
        path_in_root = normpath(source.lstrip("/"))
        is_committed = any(
            file == path_in_root or file.startswith(f"{path_in_root}/") for file in project.files
        )
        if basename(path_in_root) in names and not is_committed:
            return f"`{path}` is left aside: it packs the program `{source}`, which is not in the repository."
    return None


def _programs(project: Project) -> Iterator[str]:
    """Yield the names of the programs that a Go or Rust project builds."""
    if module := _MODULE.search(project.text("go.mod") or ""):
        yield basename(_VERSION.sub("", module[1]))
        yield from (match[1] for file in project.files if (match := _COMMAND.fullmatch(file)))
    if project.has("Cargo.toml") and (name := text_at(toml(project, "Cargo.toml"), "package", "name")):
        yield name
