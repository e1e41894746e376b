"""Versions in the variables of other hosts (NODE_VERSION), from the app's variables or a host's file.

Sources: the published references of Render, Netlify, Railpack and Nixpacks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stackyn_server.buildplan.formats.structured_files import Table, table, tables, toml, with_merge_keys
from stackyn_server.buildplan.project import Project
from stackyn_server.buildplan.settings.other_host_settings import render_web_service
from stackyn_server.buildplan.versions.requirement import Dialect, VersionRequest, parse_requirement
from stackyn_server.buildplan.versions.toolchains import Toolchains

NETLIFY, NIXPACKS, RENDER = "netlify.toml", "nixpacks.toml", "render.yaml"
_TOOLS = {
    "NODE": "node", "PYTHON": "python", "GO": "go", "RUBY": "ruby", "RUST": "rust", "PHP": "php", "DENO": "deno",
    "ELIXIR": "elixir", "HUGO": "hugo", "ZOLA": "zola", "JDK": "java", "JAVA": "java", "DOTNET": "dotnet",
    "CSHARP_SDK": "dotnet",
}  # fmt: skip
# Each variable and the tool whose version it sets.
VERSION_VARIABLES: Mapping[str, str] = {
    f"{host}{word}_VERSION": tool for host in ("", "RAILPACK_", "NIXPACKS_") for word, tool in _TOOLS.items()
}


def with_versions_of_hosts(project: Project) -> Toolchains:
    """Return the catalogue with the versions that the variables of other hosts ask for.

    As on those hosts, the app's own variables win over the project's files. The variables in a host's file win only
    where this server has the version.
    """
    toolchains = project.options.toolchains
    for tool, requested in _requested_version(project.options.host_variables, ""):
        toolchains = toolchains.with_pinned(tool, requested)
    for path, variables in _of_files(project):
        for tool, requested in _requested_version(variables, f" of `{path}`"):
            toolchains = toolchains.with_hint(tool, requested)
    return toolchains


def _requested_version(variables: Mapping[str, object], where: str) -> Iterator[tuple[str, VersionRequest]]:
    for name, tool in VERSION_VARIABLES.items():
        version = variables.get(name)
        # A number that YAML or TOML reads as such is rounded (3.10), so only texts count.
        if isinstance(version, str) and (requirement := parse_requirement(version, Dialect.NPM)):
            yield tool, VersionRequest(requirement, f"`{name}`{where}")


def _of_files(project: Project) -> Iterator[tuple[str, Table]]:
    """Yield (file, variables); later variables win over earlier ones, as on their host."""
    netlify = toml(project, NETLIFY)
    yield NETLIFY, table(netlify, "build", "environment")
    yield NETLIFY, table(netlify, "context", "production", "environment")
    yield NIXPACKS, table(toml(project, NIXPACKS), "variables")
    for entry in map(with_merge_keys, tables(render_web_service(project, RENDER).get("envVars"))):
        yield RENDER, {str(entry.get("key")): entry.get("value")}
