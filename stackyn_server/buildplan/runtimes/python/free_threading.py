"""Finds a request for free-threaded Python in files other than the version itself (`3.14t`).

Sources: the published references of pyenv (python-build), and of mise, which passes its settings on.
"""

from __future__ import annotations

from dataclasses import replace

from stackyn_server.buildplan.formats.structured_files import Table, table, text_at, toml
from stackyn_server.buildplan.project import Project
from stackyn_server.buildplan.versions.requirement import Requirement, VersionRange, VersionRequest
from stackyn_server.buildplan.versions.version_files import MISE_FILES

_VARIABLE = "PYTHON_BUILD_FREE_THREADING"
_FLAVOUR = ("settings", "python", "precompiled_flavor")


def free_threaded_if_asked(project: Project, requested: VersionRequest | None) -> VersionRequest | None:
    """Return the request, as one for free-threaded builds if a mise file asks for them."""
    path = next((path for path in MISE_FILES if _asks(toml(project, path))), None)
    if path is None:
        return requested
    if requested is None:
        return VersionRequest(
            Requirement("a free-threaded build", (VersionRange(),), is_free_threaded=True), f"`{path}`"
        )
    return replace(requested, requirement=replace(requested.requirement, is_free_threaded=True))


def _asks(mise: Table) -> bool:
    is_compiled_so = str(table(mise, "env").get(_VARIABLE, "")).lower() in ("1", "true", "yes")
    return is_compiled_so or "freethreaded" in (text_at(mise, *_FLAVOUR) or "")
