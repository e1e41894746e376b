"""The Dockerfile of a Python project: tools, packages, the project's files, and the start command."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from stackyn_server.buildplan.generated import instructions
from stackyn_server.buildplan.generated.instructions import COPY_ALL, debian_packages, run
from stackyn_server.buildplan.project import Project
from stackyn_server.buildplan.runtimes.python.install import VENV, PythonInstall
from stackyn_server.buildplan.runtimes.python.start import PythonStart
from stackyn_server.buildplan.settings.start_command import as_cmd
from stackyn_server.buildplan.versions.requirement import line_of
from stackyn_server.buildplan.versions.toolchains import ImageChoice

_SETUPTOOLS_ENDED = (3, 12, 0)
_SETTINGS = f"ENV VIRTUAL_ENV={VENV} PATH={VENV}/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1"
# Packages that the image for compiling already has; see scripts/base-images.
_IN_BUILD_IMAGE = frozenset((
    "build-essential", "pkg-config", "python3-dev", "git", "ca-certificates", "libpq-dev",
    "default-libmysqlclient-dev",
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class PythonImageSpec:
    """The input of the Dockerfile."""

    project: Project
    choice: ImageChoice
    installation: PythonInstall | None
    start: PythonStart
    system: instructions.SystemPackages
    collect: str | None

    @property
    def lacks_setuptools(self) -> bool:
        line = line_of(self.choice.image.version)
        is_bare = self.installation is not None and self.installation.is_bare
        return is_bare and line is not None and line.low < _SETUPTOOLS_ENDED


def python_dockerfile(spec: PythonImageSpec) -> str:
    """Return the Dockerfile: one stage, or two where something has to be compiled."""
    system, installation = spec.system, spec.installation
    image, build_image = spec.choice.image, spec.choice.build_image
    libraries = [f"FROM {image.name}", *debian_packages(system.run)]
    if build_image is None and not system.build:
        lines = [*libraries, *_installing(spec), *_files(spec)]
    else:
        needed = () if build_image and set(system.build) <= _IN_BUILD_IMAGE else system.build
        lines = [
            f"FROM {(build_image or image).name} AS {instructions.BUILD_STAGE}",
            *debian_packages(needed),
        ]
        lines += _installing(spec)
        if installation and installation.files and not installation.project:
            copied = [instructions.copy_from_build(VENV), COPY_ALL]
        else:
            lines += _files(spec)
            copied = [instructions.copy_from_build("/app")]
        lines += ["", "# Without compilers and headers.", *libraries]
        lines += ["WORKDIR /app", _SETTINGS, "USER app", *copied]
    return instructions.dockerfile_text([instructions.HEADER, *lines, *_starting(spec)])


def _installing(spec: PythonImageSpec) -> Iterable[str]:
    """Yield the steps up to the packages: their layer stays cached until a manifest changes."""
    installation, start = spec.installation, spec.start
    tool = installation.tool if installation else None
    yield from ("WORKDIR /app", _SETTINGS)
    if tool:
        folder = f"/opt/{tool.name}"
        yield from ("", f"# {tool.name} is kept apart from the app's own packages.")
        yield (
            f"RUN python3 -m venv --without-pip {folder} && "
            f"pip --python {folder}/bin/python install --no-cache-dir {shlex.join(tool.requirements)} && "
            f"ln -s {folder}/bin/{tool.name} /usr/local/bin/{tool.name}"
        )
        yield from (f"ENV {setting}" for setting in tool.environment)
    yield from ("USER app", f"RUN python3 -m venv --without-pip {VENV}")
    # The image's own pip installs into the environment: a pip of its own costs 25 MB and most of the time.
    yield f"ENV PIP_PYTHON={VENV}/bin/python"
    if spec.lacks_setuptools:
        yield "RUN pip install --no-cache-dir 'setuptools<81'"
    if installation and installation.files:
        files = " ".join(installation.files)
        yield from ("", instructions.PACKAGES_FIRST, f"COPY --chown=app:app {files} ./")
    else:
        yield from ("", COPY_ALL)
    yield from [run(installation.command)] if installation else []
    yield from [run(f"pip install --no-cache-dir {' '.join(start.adds)}")] if start.adds else []


def _files(spec: PythonImageSpec) -> Iterable[str]:
    """Yield the steps that copy the project's own files, unless installing the packages has copied them."""
    installation = spec.installation
    if installation and installation.files:
        yield from ("", COPY_ALL)
        yield from [run(installation.project)] if installation.project else []


def _starting(spec: PythonImageSpec) -> Iterable[str]:
    search, home = spec.start.search_path, "/app"
    if spec.installation and (member := spec.installation.member):
        home = f"/app/{member.folder}"
        yield f"WORKDIR {home}"
    yield f"ENV PYTHONPATH={f'{home}/{search}:{home}' if search else home}"
    if spec.collect:
        yield run(spec.collect)
    if spec.project.options.build_command:
        yield run(spec.project.options.build_command)
    port = spec.project.port
    yield from ("", f"ENV PORT={port}", f"EXPOSE {port}", as_cmd(spec.start.command))
