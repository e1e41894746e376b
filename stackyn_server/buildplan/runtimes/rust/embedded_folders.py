"""Finds the folders that a Rust program embeds: those that rust-embed and include_dir name in its sources. Pure.

Sources: the documentation of these crates; both resolve a relative folder from the folder of the package's manifest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from posixpath import dirname, join, normpath

from stackyn_server.buildplan.formats.structured_files import table, toml
from stackyn_server.buildplan.project import Project

_CRATES = frozenset(("rust-embed", "include_dir"))
_MOST_SOURCES = 400
_NAMED = re.compile(r'(?:#\[folder[ \t]*=[ \t]*|\binclude_dir!\(\s*)"([^"\n]{1,300})"')
_OF_MANIFEST = "$CARGO_MANIFEST_DIR/"


@dataclass(frozen=True, slots=True)
class EmbeddedFolder:
    """A folder that the file `source` embeds: its path as written there, and from the root directory."""

    source: str
    written_path: str
    path_from_root: str


def embedded_folders(project: Project, manifests: Iterable[str]) -> list[EmbeddedFolder]:
    """Return the folders that the packages of these manifests embed."""
    return [folder for manifest in manifests for folder in _of_package(project, manifest)]


def _of_package(project: Project, manifest: str) -> Iterator[EmbeddedFolder]:
    if _CRATES.isdisjoint(table(toml(project, manifest), "dependencies")):
        return
    package = dirname(manifest)
    folder = join(package, "src/")
    sources = sorted(path for path in project.files if path.startswith(folder) and path.endswith(".rs"))
    for source in sources[:_MOST_SOURCES]:
        for written_path in _NAMED.findall(project.text(source) or ""):
            path_from_root = normpath(join(package, written_path.removeprefix(_OF_MANIFEST)))
            if "$" not in path_from_root and not path_from_root.startswith(("/", "..")):
                yield EmbeddedFolder(source, written_path, path_from_root)
