"""A frontend that goes into a program: the package.json below whose script makes the folder that is wanted. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from posixpath import dirname, join, normpath

from stackyn_server.buildplan.generated.stages import is_plain
from stackyn_server.buildplan.project import Project, undetected
from stackyn_server.buildplan.runtimes.node.dockerfile import Recipe, building_stage
from stackyn_server.buildplan.runtimes.node.manifest import MANIFEST
from stackyn_server.buildplan.runtimes.node.product import Site, build_script
from stackyn_server.buildplan.runtimes.node.runtime import building
from stackyn_server.buildplan.runtimes.node.scripts import option
from stackyn_server.domain.failures import DeploymentFailed

STAGE = "frontend"
_MOST_PACKAGES, _MOST_NAMED, _DEEPEST, _LONGEST_SCRIPT = 20, 3, 4, 4_000
_NOT_APPS = re.compile(r"(?:^|/)(?:node_modules|testdata|tests?|examples?|docs?|vendor|[_.][^/]*)/")
# Options that name the outcome, and nothing else.
_OUTPUTS = ("--outDir", "--out-dir", "--outdir", "--dist-dir", "--output-path", "--dest")
# A folder without any of these has nothing in it but what keeps its place.
_BUILT = (".js", ".mjs", ".css", ".wasm")
_WATCHES = frozenset(("--watch", "-w", "watch"))


@dataclass(frozen=True, slots=True)
class Frontend:
    """How a package.json makes the files or folders `made`, which are named from the root directory."""

    manifest: str
    script: str
    made: tuple[str, ...]
    recipe: Recipe

    @property
    def reason(self) -> str:
        made = " and ".join(f"`{path}`" for path in self.made)
        first = f"The `{self.script}` script of `{self.manifest}` is run first"
        return f"{first}: it makes {made}, which the program has inside. {self.recipe.choice.reason}"

    @property
    def sent(self) -> tuple[str, ...]:
        """What the stage copies."""
        if self.recipe.place:
            return (self.recipe.place,)
        return (*self.recipe.installation.files, *filter(None, [dirname(self.manifest)]))


def frontends(project: Project, wanted: Iterable[str]) -> list[Frontend]:
    """Return what makes the files and folders that a program wants, those that are in the repository left out.

    `wanted` are named from the root directory.
    """
    places = [place for place in dict.fromkeys(wanted) if place]
    found = (_frontend(project, path, places) for path in _manifests(project.files)) if places else ()
    return [frontend for frontend in found if frontend is not None]


def concerns(made: str, place: str) -> bool:
    """True when one of the two is, or is inside of, the other."""
    return made == place or made.startswith(f"{place}/") or place.startswith(f"{made}/")


def sent(found: Iterable[Frontend]) -> list[str]:
    """Return what the stages copy, which is sent whatever the repository's `.dockerignore` says of it."""
    return [path for frontend in found for path in frontend.sent]


def stages(found: Iterable[Frontend]) -> tuple[list[str], list[str]]:
    """Return the stages that build, and the lines that bring the outcome into a later one's working directory."""
    lines: list[str] = []
    copies = []
    for number, frontend in enumerate(found):
        name = f"{STAGE}-{number + 1}" if number else STAGE
        lines += [*building_stage(frontend.recipe, name), ""]
        copies += [f"COPY --from={name} --chown=app:app /app/{path} {path}" for path in frontend.made]
    return lines, copies


def makes(found: Iterable[Frontend], place: str) -> bool:
    """True when one of the frontends makes what a program wants."""
    return any(concerns(path, place) for frontend in found for path in frontend.made)


def not_made(project: Project, source: str, said: str, place: str) -> DeploymentFailed:
    """Explain that the file `source` embeds a `place` which is not there. `said` is how it names that."""
    builds = ((dirname(path), _recipe(project, dirname(path), None)) for path in _manifests(project.files))
    folders = [folder or MANIFEST for folder, recipe in builds if recipe and build_script(recipe.app)][
        :_MOST_NAMED
    ]
    script = f"have the `build` script of {' or '.join(folders)} write it to `{place}`, " if folders else ""
    return undetected(
        f"`{source}` embeds {said}, which is not in the repository, and nothing says how it is made.",
        f"Commit `{place}`, {script}set the app's install command to what makes it, or add a Dockerfile.",
    )


def _manifests(files: Iterable[str]) -> list[str]:
    found = (
        path
        for path in files
        if (path == MANIFEST or path.endswith(f"/{MANIFEST}"))
        and path.count("/") <= _DEEPEST
        and is_plain(path)
        and not _NOT_APPS.search(path)
    )
    return sorted(found, key=lambda path: (path.count("/"), path))[:_MOST_PACKAGES]


def _frontend(project: Project, path: str, places: list[str]) -> Frontend | None:
    folder = dirname(path)
    recipe = _recipe(project, folder, None)
    if recipe is None:
        return None
    for script, outputs, words in _outputs(recipe, folder):
        made = [
            *(path for path in outputs if any(concerns(path, place) for place in places)),
            *(path for path in words if any(_must_be(path, place, project.files) for place in places)),
        ]
        made = [path for path in dict.fromkeys(made) if not _is_built(path, project.files)]
        if not made:
            continue
        if script != build_script(recipe.app):
            recipe = _recipe(project, folder, f"{recipe.installation.run} {script}") or recipe
        outermost = [path for path in made if not any(path.startswith(f"{other}/") for other in made)]
        return Frontend(path, script, tuple(outermost), recipe)
    return None


def _recipe(project: Project, folder: str, command: str | None) -> Recipe | None:
    """Return how a folder's package is built, None where it can't be. The app's own settings are not about it."""
    options = replace(
        project.options,
        root_directory=f"{project.prefix}{folder}".rstrip("/") or None,
        runtime=None,
        install_command=None,
        build_command=command,
        start_command=None,
        publish_directory=None,
    )
    below = f"{folder}/" if folder else ""
    files = frozenset(path.removeprefix(below) for path in project.files if path.startswith(below))
    try:
        recipe = building(replace(project, files=files, options=options))
    except DeploymentFailed:  # said where it is deployed by itself
        return None
    if recipe is None:
        return None
    place = recipe.workspace.root.project.options.root_directory or ""
    if not f"{place}/".startswith(project.prefix):
        return None  # it is installed from above of what is sent
    return replace(recipe, place=place.removeprefix(project.prefix.rstrip("/")).strip("/"))


def _outputs(recipe: Recipe, folder: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield scripts, what each is known to write, and what else it names: the one that builds first."""
    scripts = recipe.app.manifest.scripts
    build = build_script(recipe.app)
    if build is not None:
        commands = _chain(build, scripts)
        said = [output for command in commands if (output := option(command, *_OUTPUTS))]
        known = recipe.product.folders if isinstance(recipe.product, Site) else ()
        words = (word for command in commands for word in command[:_LONGEST_SCRIPT].split())
        yield build, _paths(folder, (*said, *known)), _paths(folder, words)
    for name, command in scripts.items():
        is_other = name != build and _WATCHES.isdisjoint(command.split())
        if is_other and (output := option(command, *_OUTPUTS)):
            yield name, _paths(folder, [output]), []


def _chain(name: str, scripts: Mapping[str, str]) -> list[str]:
    """Return the commands of a script, of those around it, and of those that these run by their name."""
    found: dict[str, str] = {}
    waiting = [f"post{name}", name, f"pre{name}"]
    while waiting:
        name = waiting.pop()
        if name in scripts and name not in found:
            found[name] = scripts[name]
            waiting += re.split(r"[\s;&|]+", scripts[name][:_LONGEST_SCRIPT])
    return list(found.values())


def _paths(folder: str, words: Iterable[str]) -> list[str]:
    """Return what words of a command name, from the root directory; neither its root nor what is outside of it."""
    names = (word.rpartition("=")[2].strip("'\"") for word in words)
    paths = (normpath(join(folder, name)) for name in names if name)
    return [path for path in paths if path not in (".", folder) and path[0] != "/" and is_plain(path)]


def _must_be(path: str, place: str, files: Collection[str]) -> bool:
    """True for a word of a command that can only be its outcome: it names what is wanted, and is not there."""
    is_page = path.endswith(_BUILT) and path.startswith(f"{place}/")
    if not is_page and not f"{place}/".startswith(f"{path}/"):
        return False
    return path not in files and not any(file.startswith(f"{path}/") for file in files)


def _is_built(path: str, files: Iterable[str]) -> bool:
    """True when the outcome is in the repository, and not only a file that keeps its place."""
    return any(file.endswith(_BUILT) for file in files if file == path or file.startswith(f"{path}/"))
