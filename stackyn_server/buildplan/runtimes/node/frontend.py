"""Finds the package.json whose script builds the frontend that a program embeds. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from posixpath import dirname, join, normpath

from stackyn_server.buildplan.generated.stages import is_plain
from stackyn_server.buildplan.project import Project, undetected
from stackyn_server.buildplan.runtimes.node.dockerfile import NodeImageSpec, build_stage_lines
from stackyn_server.buildplan.runtimes.node.manifest import MANIFEST
from stackyn_server.buildplan.runtimes.node.product import StaticSite, build_script
from stackyn_server.buildplan.runtimes.node.runtime import image_spec
from stackyn_server.buildplan.runtimes.node.scripts import option_value
from stackyn_server.domain.failures import DeploymentFailed

STAGE = "frontend"
_MOST_PACKAGES, _MOST_NAMED, _DEEPEST, _LONGEST_SCRIPT = 20, 3, 4, 4_000
_NOT_APPS = re.compile(r"(?:^|/)(?:node_modules|testdata|tests?|examples?|docs?|vendor|[_.][^/]*)/")
# Options that name only the output.
_OUTPUTS = ("--outDir", "--out-dir", "--outdir", "--dist-dir", "--output-path", "--dest")
# A folder without any of these holds only a placeholder file.
_BUILT = (".js", ".mjs", ".css", ".wasm")
_WATCHES = frozenset(("--watch", "-w", "watch"))


@dataclass(frozen=True, slots=True)
class EmbeddedFrontend:
    """How a package.json builds the files or folders `outputs`, which are paths from the root directory."""

    manifest: str
    script: str
    outputs: tuple[str, ...]
    spec: NodeImageSpec

    @property
    def reason(self) -> str:
        names = " and ".join(f"`{path}`" for path in self.outputs)
        first = f"The `{self.script}` script of `{self.manifest}` is run first"
        return f"{first}: it makes {names}, which the program has inside. {self.spec.choice.reason}"

    @property
    def paths_to_send(self) -> tuple[str, ...]:
        """The paths that the stage copies."""
        if self.spec.install_folder:
            return (self.spec.install_folder,)
        return (*self.spec.installation.files, *filter(None, [dirname(self.manifest)]))


@dataclass(frozen=True, slots=True)
class EmbeddedPath:
    """What a program embeds: a path from the root directory. The file `source` names it by `description`.

    `must_be_built`: the program can't be built as long as the repository lacks the path.
    """

    path: str
    source: str
    description: str
    must_be_built: bool


def embedded_frontends(project: Project, embedded: Sequence[EmbeddedPath]) -> list[EmbeddedFrontend]:
    """Return the frontends that build the files and folders which a program embeds and the repository lacks.

    Raises `DeploymentFailed` for a path that nothing builds, unless the owner's own commands may build it.
    """
    targets = [path for path in dict.fromkeys(row.path for row in embedded) if path]
    candidates = (_frontend(project, path, targets) for path in _manifests(project.files)) if targets else ()
    frontends = [frontend for frontend in candidates if frontend is not None]
    outputs = [output for frontend in frontends for output in frontend.outputs]
    if not (project.options.install_command or project.options.build_command):
        for row in embedded:
            if row.must_be_built and not any(overlaps(output, row.path) for output in outputs):
                raise _missing_files(project, row)
    return frontends


def overlaps(outputs: str, target: str) -> bool:
    """True when one of the two is, or is inside of, the other."""
    return outputs == target or outputs.startswith(f"{target}/") or target.startswith(f"{outputs}/")


def paths_to_send(frontends: Iterable[EmbeddedFrontend]) -> list[str]:
    """Return the paths that the stages copy: the context has them even if `.dockerignore` excludes them."""
    return [path for frontend in frontends for path in frontend.paths_to_send]


def build_stages(frontends: Iterable[EmbeddedFrontend]) -> tuple[list[str], list[str]]:
    """Return the build stages, and the lines that copy their output into a later stage's working directory."""
    lines: list[str] = []
    copies = []
    for number, frontend in enumerate(frontends):
        name = f"{STAGE}-{number + 1}" if number else STAGE
        lines += [*build_stage_lines(frontend.spec, name), ""]
        copies += [f"COPY --from={name} --chown=app:app /app/{path} {path}" for path in frontend.outputs]
    return lines, copies


def _missing_files(project: Project, embedded: EmbeddedPath) -> DeploymentFailed:
    builds = (
        (dirname(path), _image_spec(project, dirname(path), None)) for path in _manifests(project.files)
    )
    folders = [folder or MANIFEST for folder, spec in builds if spec and build_script(spec.app)][:_MOST_NAMED]
    target = embedded.path
    script = f"have the `build` script of {' or '.join(folders)} write it to `{target}`, " if folders else ""
    return undetected(
        f"`{embedded.source}` embeds {embedded.description}, which is not in the repository, and nothing says how it "
        "is made.",
        f"Commit `{target}`, {script}set the app's install command to what makes it, or add a Dockerfile.",
    )


def _manifests(files: Iterable[str]) -> list[str]:
    paths = (
        path
        for path in files
        if (path == MANIFEST or path.endswith(f"/{MANIFEST}"))
        and path.count("/") <= _DEEPEST
        and is_plain(path)
        and not _NOT_APPS.search(path)
    )
    return sorted(paths, key=lambda path: (path.count("/"), path))[:_MOST_PACKAGES]


def _frontend(project: Project, path: str, targets: list[str]) -> EmbeddedFrontend | None:
    folder = dirname(path)
    spec = _image_spec(project, folder, None)
    if spec is None:
        return None
    for script, built, words in _outputs(spec, folder):
        built = [
            *(path for path in built if any(overlaps(path, target) for target in targets)),
            *(
                path
                for path in words
                if any(_is_missing_output(path, target, project.files) for target in targets)
            ),
        ]
        built = [path for path in dict.fromkeys(built) if not _is_built(path, project.files)]
        if not built:
            continue
        if script != build_script(spec.app):
            spec = _image_spec(project, folder, f"{spec.installation.run} {script}") or spec
        outermost = [path for path in built if not any(path.startswith(f"{above}/") for above in built)]
        return EmbeddedFrontend(path, script, tuple(outermost), spec)
    return None


def _image_spec(project: Project, folder: str, command: str | None) -> NodeImageSpec | None:
    """Return how a folder's package is built, None if it can't be. The app's own settings don't apply to it."""
    options = replace(
        project.options,
        root_directory=f"{project.prefix}{folder}".rstrip("/") or None,
        runtime=None,
        install_command=None,
        build_command=command,
        start_command=None,
        publish_directory=None,
    )
    try:
        spec = image_spec(project.at(options))
    except DeploymentFailed:  # its own deployment explains the failure
        return None
    if spec is None:
        return None
    install_folder = spec.workspace.root.project.options.root_directory or ""
    if not f"{install_folder}/".startswith(project.prefix):
        return None  # its workspace begins above the folder that is sent
    return replace(spec, install_folder=install_folder.removeprefix(project.prefix.rstrip("/")).strip("/"))


def _outputs(spec: NodeImageSpec, folder: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield each script, the paths it is known to write, and the paths it names; the build script comes first."""
    scripts = spec.app.manifest.scripts
    build = build_script(spec.app)
    if build is not None:
        commands = _chain(build, scripts)
        named_outputs = [output for command in commands if (output := option_value(command, *_OUTPUTS))]
        product_folders = spec.product.folders if isinstance(spec.product, StaticSite) else ()
        words = (word for command in commands for word in command[:_LONGEST_SCRIPT].split())
        yield build, _paths(folder, (*named_outputs, *product_folders)), _paths(folder, words)
    for name, command in scripts.items():
        is_other = name != build and _WATCHES.isdisjoint(command.split())
        if is_other and (output := option_value(command, *_OUTPUTS)):
            yield name, _paths(folder, [output]), []


def _chain(name: str, scripts: Mapping[str, str]) -> list[str]:
    """Return the commands of a script, of its `pre` and `post` scripts, and of the scripts that they name."""
    commands: dict[str, str] = {}
    waiting = [f"post{name}", name, f"pre{name}"]
    while waiting:
        name = waiting.pop()
        if name in scripts and name not in commands:
            commands[name] = scripts[name]
            waiting += re.split(r"[\s;&|]+", scripts[name][:_LONGEST_SCRIPT])
    return list(commands.values())


def _paths(folder: str, words: Iterable[str]) -> list[str]:
    """Return the paths that the words of a command name, from the root directory, without `folder` and paths above."""
    names = (word.rpartition("=")[2].strip("'\"") for word in words)
    paths = (normpath(join(folder, name)) for name in names if name)
    return [path for path in paths if path not in (".", folder) and path[0] != "/" and is_plain(path)]


def _is_missing_output(path: str, target: str, files: Collection[str]) -> bool:
    """True when a command must write `path`: it is `target`, above it or a page in it, and the repository lacks it."""
    is_page = path.endswith(_BUILT) and path.startswith(f"{target}/")
    if not is_page and not f"{target}/".startswith(f"{path}/"):
        return False
    return path not in files and not any(file.startswith(f"{path}/") for file in files)


def _is_built(path: str, files: Iterable[str]) -> bool:
    """True when the repository has the built files, and not only a placeholder file in their folder."""
    return any(file.endswith(_BUILT) for file in files if file == path or file.startswith(f"{path}/"))
