"""The Dockerfile of a Node project: packages, build, and what serves."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stackyn_server.buildplan.generated import instructions
from stackyn_server.buildplan.generated.instructions import COPY_ALL, debian_packages, run
from stackyn_server.buildplan.runtimes.node.manifest import MANIFESTS
from stackyn_server.buildplan.runtimes.node.packages import (
    CACHE,
    LOCKS,
    SETTINGS,
    NodeInstall,
    global_install,
    has_hooks,
)
from stackyn_server.buildplan.runtimes.node.product import (
    FrameworkServer,
    Product,
    StaticSite,
    build_script,
    usual_build,
)
from stackyn_server.buildplan.runtimes.node.start import NodeStart
from stackyn_server.buildplan.runtimes.node.system import downloads_left_out
from stackyn_server.buildplan.runtimes.node.workspace import Package, Workspace, builds_before
from stackyn_server.buildplan.runtimes.static.runtime import INDEX, site_dockerfile
from stackyn_server.buildplan.settings.start_command import as_cmd
from stackyn_server.buildplan.versions.toolchains import ImageChoice

# Where builds of unknown tools leave their pages, and where the pages are gathered.
_USUAL_FOLDERS = ("dist", "build", "out", "_site", ".output/public", "www", "public")
_GATHERED = "/tmp/site"
_CACHES = ("node_modules/.cache", ".next/cache", ".parcel-cache", ".angular/cache", CACHE)
# Of a range, the least that it allows.
_AGENT = re.compile(r"([a-z]+/)[\^~>=v ]*(\d+(?:\.\d+)*)(?:\.[x*])?")
_NODE_PROGRAMS = frozenset(("node", "npm", "npx", "pnpm", "yarn"))
_BUN = "/usr/local/bin/bun"
_WORD = re.compile(r"[\w@./+-]{1,200}")
# Never pages of a site that is built in the root of its repository.
_NOT_PAGES = (
    "node_modules", *MANIFESTS, *(lock for locks in LOCKS.values() for lock in locks), *SETTINGS, "tsconfig*.json",
    "*.config.*", "Procfile", "README*",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class NodeImageSpec:
    """The input of the Dockerfile. `start`: None for a site of plain files. `bare`: an image without any tools, "" if
    there is none. `called`: packages of tools that scripts call by name. `install_folder`: the folder of the installed
    packages, "" if the context holds only that folder.
    """

    workspace: Workspace
    choice: ImageChoice
    installation: NodeInstall
    system: instructions.SystemPackages
    product: Product | None
    start: NodeStart | None
    called: tuple[str, ...]
    is_local: bool
    bare: str = ""
    install_folder: str = ""

    @property
    def app(self) -> Package:
        return self.workspace.app

    @property
    def server(self) -> FrameworkServer | None:
        """The framework whose own server the start command runs; None if something else is started."""
        product, start = self.product, self.start
        if isinstance(product, FrameworkServer) and start is not None and start.command == product.command:
            return product
        return None

    @property
    def tools(self) -> tuple[str, ...]:
        """The packages to install globally."""
        return (*self.installation.tools, *self.called, *(self.server.adds if self.server else ()))

    @property
    def left_out(self) -> dict[str, str]:
        """Development packages whose programs are not downloaded, each with the setting that stops the download."""
        return downloads_left_out((self.workspace.root.manifest, self.app.manifest))

    @property
    def is_compiled_apart(self) -> bool:
        return not set(self.system.build) <= set(self.system.run)

    @property
    def needs_only_bun(self) -> bool:
        """True when bun starts the app and the app has no packages: most packages' programs need Node."""
        manifest = self.app.manifest
        return (
            bool(self.bare)
            and self.start is not None
            and self.start.command.startswith("bun ")
            and self.tools == self.installation.tools
            and not (manifest.dependencies or manifest.development or manifest.workspaces)
            and not (self.workspace.is_shared or self.system.build or self.system.run)
            and manifest.words_of_scripts.isdisjoint(_NODE_PROGRAMS)
        )

    @property
    def usual_build(self) -> str | None:
        """The framework's own build command, if the framework's product is served and no script builds it."""
        return usual_build(self.app, self.product) if self.start is None or self.server else None

    @property
    def uses_prisma(self) -> bool:
        schema = self.app.first("prisma/schema.prisma", "schema.prisma", "prisma.config.ts")
        return schema is not None and self.app.manifest.uses("prisma", "@prisma/client")

    @property
    def is_lean(self) -> bool:
        """True when the start command needs no development package, so that only the other packages are installed.

        Install scripts often call a development package, and so does a start script that is more than `node file`.
        """
        manifests = (self.workspace.root.manifest, self.app.manifest)
        return self.start is not None and self.start.is_plain and not any(map(has_hooks, manifests))


def app_dockerfile(spec: NodeImageSpec) -> str:
    """Return the Dockerfile of an app that runs."""
    assert spec.start is not None
    port, installation = spec.app.project.port, spec.installation
    needs_build = bool(_build_steps(spec))
    command = installation.lean if spec.is_lean and not needs_build else installation.install
    prunes = spec.is_lean and needs_build and installation.prune != "" and not spec.workspace.is_shared
    steps = [*_installing(spec, command), *_building(spec, prunes)]
    lines = [instructions.HEADER]
    if spec.is_compiled_apart:
        lines += [*_build_stage(spec, instructions.BUILD_STAGE), *steps]
        lines += ["", "# Without compilers and headers.", f"FROM {spec.choice.image.name}"]
        lines += [*debian_packages(spec.system.run), "WORKDIR /app", *_tools(spec)]
        lines += ["USER app", instructions.copy_from_build("/app")]
    else:
        lines += _bun_alone(spec) if spec.needs_only_bun else [f"FROM {spec.choice.image.name}"]
        lines += [*debian_packages(spec.system.run), *steps]
    lines += ["", *_run_settings(spec)]
    lines += [f"ENV PORT={port}", f"EXPOSE {port}", as_cmd(spec.start.command)]
    return instructions.dockerfile_text(lines)


def site_build_dockerfile(spec: NodeImageSpec) -> str:
    """Return the Dockerfile of a site that is built once and served as files."""
    stage = instructions.BUILD_STAGE
    lines = [instructions.HEADER, *build_stage_lines(spec, stage), _gather(spec), ""]
    is_single_page = isinstance(spec.product, StaticSite) and spec.product.is_single_page
    pages = f"COPY --from={stage} {_GATHERED}/ /srv/site/"
    site = site_dockerfile(spec.app.project, pages, single_page=is_single_page)
    return instructions.dockerfile_text(lines) + site


def build_stage_lines(spec: NodeImageSpec, name: str) -> list[str]:
    """Return the stage that installs all packages and builds."""
    return [
        *_build_stage(spec, name),
        *_installing(spec, spec.installation.install),
        *_building(spec, prunes=False),
    ]


def _build_stage(spec: NodeImageSpec, name: str) -> list[str]:
    """Return the beginning of the stage that builds: the image and its compilers."""
    build_image = spec.choice.build_image if spec.is_compiled_apart else None
    return [f"FROM {(build_image or spec.choice.image).name} AS {name}", *_compilers(spec)]


def _bun_alone(spec: NodeImageSpec) -> Iterator[str]:
    """Yield the stage that installs bun, and an image that has only the bun program."""
    yield f"FROM {spec.choice.image.name} AS bun"
    yield f"RUN {global_install(spec.installation.tools)} && cp -L {_BUN} /bun"
    yield from ("", f"FROM {spec.bare}", f"COPY --from=bun /bun {_BUN}", f"RUN ln -s bun {_BUN}x")


def _compilers(spec: NodeImageSpec) -> Iterator[str]:
    yield from debian_packages([] if spec.choice.build_image else spec.system.build)
    if spec.system.is_compiled and spec.is_local and spec.choice.build_image is None:
        # A Node base image made without a registry has no headers; npm's package of the same version has them.
        yield (
            'RUN cd /tmp && npm pack --silent "node-linux-$(node -p process.arch)@$(node -p process.versions.node)" && '
            "tar -xzf node-linux-*.tgz -C /usr/local --strip-components=1 package/include && rm node-linux-*.tgz"
        )
    if spec.system.is_compiled:
        # pnpm hides lower-case `npm_` variables from the programs that it runs; older node-gyp reads only those.
        yield "ENV npm_config_nodedir=/usr/local NPM_CONFIG_NODEDIR=/usr/local"


def _tools(spec: NodeImageSpec) -> Iterator[str]:
    if spec.tools and not spec.needs_only_bun:
        yield f"RUN {global_install(spec.tools)}"
    yield from (f"ENV {setting}" for setting in spec.installation.environment)
    yield from (f"ENV {setting}" for setting in spec.left_out.values())


def _installing(spec: NodeImageSpec, command: str) -> Iterator[str]:
    files = spec.installation.files
    yield from ("WORKDIR /app", *_tools(spec), "USER app", "")
    if spec.install_folder:
        yield from _installing_in_place(spec, command)
    elif files:
        yield from (instructions.PACKAGES_FIRST, f"COPY --chown=app:app {' '.join(files)} ./")
        yield from (run(command), "", COPY_ALL)
    else:
        yield from (COPY_ALL, run(command))


def _installing_in_place(spec: NodeImageSpec, command: str) -> Iterator[str]:
    """Yield the steps that install inside the whole context: scripts may read and write outside their own folder."""
    install_folder, files = spec.install_folder, spec.installation.files
    if files:
        names = " ".join(f"{install_folder}/{name}" for name in files)
        yield from (instructions.PACKAGES_FIRST, f"COPY --chown=app:app {names} {install_folder}/")
    else:
        yield COPY_ALL
    # COPY has already made the folder for the user, so WORKDIR does not make it for root.
    yield from (f"WORKDIR /app/{install_folder}", run(command))
    if files:
        yield from ("", "COPY --chown=app:app . /app/")


def _building(spec: NodeImageSpec, prunes: bool) -> Iterator[str]:
    steps = _build_steps(spec)
    if steps:
        last = f"{steps[-1]} && {spec.installation.prune}" if prunes else steps[-1]
        yield from (run(step) for step in (*steps[:-1], f"{last} && rm -rf {' '.join(_CACHES)}"))


def _build_steps(spec: NodeImageSpec) -> list[str]:
    """Return the build commands in order: first those of the workspace packages that the app needs."""
    app, installation = spec.app, spec.installation
    enter = f"cd {app.folder} && " if app.folder else ""
    steps = [f"cd {package.folder} && {installation.run} build" for package in builds_before(spec.workspace)]
    if spec.uses_prisma and not any("prisma generate" in script for script in app.manifest.scripts.values()):
        steps.append(f"{enter}{installation.execute} prisma generate")
    settings = spec.product.build_settings if isinstance(spec.product, FrameworkServer) else ()
    front = f"{' '.join(settings)} " if settings else ""
    own = app.project.options.build_command
    name = None if own else build_script(app)
    if own:
        steps.append(f"{enter}{front}{own}")
    elif name is None and app.folder and spec.workspace.root.has("nx.json"):
        steps.append(f"{front}{installation.execute} nx build {shlex.quote(app.manifest.name)}")
    elif spec.usual_build:
        steps.append(f"{enter}{front}{installation.execute} {spec.usual_build}")
    if name is not None:
        steps.append(f"{enter}{front}{installation.run} {name}")
    if spec.server and (own or name or spec.usual_build):
        steps += [f"{enter}{command}" for command in spec.server.after_build]
    return steps


def _gather(spec: NodeImageSpec) -> str:
    """Return the step that moves the built pages to the folder from which the static image copies them."""
    output_folders = spec.product.folders if isinstance(spec.product, StaticSite) else ()
    enter = f"cd {spec.app.folder} && " if spec.app.folder else ""
    options = spec.app.project.options
    if options.is_set_by_owner("publish_directory"):
        folder = shlex.quote(options.publish_directory or "")
        failure = f"The build left no folder {options.publish_directory}, which is to be published."
        fail = f"{{ echo {shlex.quote(failure)} >&2; exit 1; }}"
        return run(f"{enter}[ -d {folder} ] || {fail}; mv {folder} {_GATHERED}")
    folders = tuple(dict.fromkeys((*map(shlex.quote, output_folders), *_USUAL_FOLDERS)))
    move = f'[ ! -f "$folder/{INDEX}" ] || {{ mv "$folder" {_GATHERED}; exit; }}'
    look = f"for folder in {' '.join(folders)}; do {move}; done"
    if not output_folders and spec.app.has(INDEX):
        sources = " ".join((*_NOT_PAGES, *_files_of_build(spec.app)))
        return run(f"{enter}{look}; cp -r . {_GATHERED} && cd {_GATHERED} && rm -rf {sources}")
    failure = f"The build left no {INDEX} in any of: {', '.join(folders)}."
    return run(f"{enter}{look}; echo '{failure}' >&2; exit 1")


def _files_of_build(app: Package) -> Iterable[str]:
    """Return the files that the project's scripts name: they build pages and are not served."""
    words = app.manifest.words_of_scripts
    return sorted(word for word in words if _WORD.fullmatch(word) and ".." not in word and app.has(word))


def _run_settings(spec: NodeImageSpec) -> Iterator[str]:
    manifest, start = spec.app.manifest, spec.start
    if spec.app.folder:
        yield f"WORKDIR /app/{spec.app.folder}"
    yield "ENV NODE_ENV=production HOST=0.0.0.0"
    if start is None or not start.is_plain:
        return
    # The variables that a package manager sets for the scripts that it starts.
    package_variables = {"npm_package_name": manifest.name, "npm_package_version": manifest.version}
    settings = [f"{key}={value}" for key, value in package_variables.items() if _WORD.fullmatch(value)]
    if agent := _AGENT.fullmatch(spec.installation.agent):
        settings.append(f'npm_config_user_agent="{agent[1]}{agent[2]} node linux"')
    if settings:
        yield f"ENV {' '.join(settings)}"
