"""The versions that other hosts are told in their variables, in an app's own or in a file of theirs: NODE_VERSION and
its like.

Sources: the published references of Render, Netlify, Railpack and Nixpacks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stackyn_server.buildplan.formats.structured_files import Table, merged, table, toml, yaml
from stackyn_server.buildplan.project import Project
from stackyn_server.buildplan.versions.requirement import Asked, Dialect, parse_requirement
from stackyn_server.buildplan.versions.toolchains import Toolchains

NETLIFY, NIXPACKS, RENDER = "netlify.toml", "nixpacks.toml", "render.yaml"
_TOOLS = {
    "NODE": "node", "PYTHON": "python", "GO": "go", "RUBY": "ruby", "RUST": "rust", "PHP": "php", "DENO": "deno",
    "ELIXIR": "elixir", "HUGO": "hugo", "ZOLA": "zola", "JDK": "java", "JAVA": "java", "DOTNET": "dotnet",
    "CSHARP_SDK": "dotnet",
}  # fmt: skip
# The variables by the tool that they speak of.
VARIABLES: Mapping[str, str] = {
    f"{host}{word}_VERSION": tool for host in ("", "RAILPACK_", "NIXPACKS_") for word, tool in _TOOLS.items()
}


def with_versions_of_hosts(project: Project) -> Toolchains:
    """Return the catalogue in which the app's own variables win over what the project's files ask for, as there, and
    those of a host's file where there is such a version."""
    toolchains = project.options.toolchains
    for tool, asked in _asked(project.options.hosts_variables, ""):
        toolchains = toolchains.pinning(tool, asked)
    for path, said in _of_files(project):
        for tool, asked in _asked(said, f" of `{path}`"):
            toolchains = toolchains.hinting(tool, asked)
    return toolchains


def _asked(variables: Mapping[str, object], where: str) -> Iterator[tuple[str, Asked]]:
    for name, tool in VARIABLES.items():
        wanted = variables.get(name)
        # A number that YAML or TOML reads as such is rounded (3.10), so only texts count.
        if isinstance(wanted, str) and (requirement := parse_requirement(wanted, Dialect.NPM)):
            yield tool, Asked(requirement, f"`{name}`{where}")


def _of_files(project: Project) -> Iterator[tuple[str, Table]]:
    """Yield (file, variables), those that win there last."""
    netlify = toml(project, NETLIFY)
    yield NETLIFY, table(netlify, "build", "environment")
    yield NETLIFY, table(netlify, "context", "production", "environment")
    yield NIXPACKS, table(toml(project, NIXPACKS), "variables")
    services = yaml(project, RENDER).get("services")
    web = [
        one for one in map(merged, services if isinstance(services, list) else ()) if one.get("type") == "web"
    ]
    entries = web[0].get("envVars") if len(web) == 1 else None
    for entry in map(merged, entries if isinstance(entries, list) else ()):
        yield RENDER, {str(entry.get("key")): entry.get("value")}
