"""Version files that hold no version: the build takes the default, and its log says why."""

from __future__ import annotations

from collections.abc import Iterator

from stackyn_server.buildplan.project import Project
from stackyn_server.buildplan.versions.requirement import Dialect
from stackyn_server.buildplan.versions.version_files import version_in_file

_FILES = {
    "node": (".node-version", ".nvmrc", ".bun-version"),
    "python": (".python-version", "runtime.txt"),
    "ruby": (".ruby-version",),
    "go": (".go-version",),
    "java": (".java-version",),
    "elixir": (".elixir-version",),
    "php": (".php-version",),
    "hugo": (".hugo-version",),
}
_LONGEST = 60


def unread_version_sentences(project: Project, runtime: str) -> Iterator[str]:
    """Yield a sentence for each version file of a runtime that holds something else, such as an environment's name."""
    dialect = Dialect.PYTHON if runtime == "python" else Dialect.NPM
    for path in _FILES.get(runtime, ()):
        lines = [line.split("#", 1)[0].strip() for line in (project.text(path) or "").splitlines()]
        version = next(filter(None, lines), "")
        if version and version.isprintable() and version_in_file(version, path, dialect) is None:
            yield f"`{path}` says {version[:_LONGEST]}, which is no version: it is left aside."
