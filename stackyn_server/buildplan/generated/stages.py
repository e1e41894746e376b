"""The text of a generated Dockerfile: a first stage with the build tools, and a last stage that runs without them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from stackyn_server.buildplan.build_plan import GENERATED_DOCKERFILE, BuildPlan
from stackyn_server.buildplan.generated.instructions import (
    BUILD_STAGE,
    HEADER,
    copy_from_build,
    debian_packages,
    dockerfile_text,
)
from stackyn_server.buildplan.project import Project
from stackyn_server.buildplan.settings.start_command import as_cmd
from stackyn_server.buildplan.versions.toolchains import ImageChoice

COPY_APP = copy_from_build("/app/")
# For start commands that name a built program alone, as on Heroku.
PATH_OF_PROGRAMS = "PATH=/app/bin:$PATH"
# Names that need no quoting anywhere: in Dockerfile instructions, in shell commands and in configuration files.
_IMAGE = re.compile(r"^(?:FROM |COPY --from=)(\S+:\S+)", re.MULTILINE)
_PLAIN = re.compile(r"[A-Za-z0-9_.@+][A-Za-z0-9_.@+/-]*")


def is_plain(name: str) -> bool:
    """True for a path or name that can stand in an instruction as it is; others are not used by generated files."""
    return _PLAIN.fullmatch(name) is not None and ".." not in name


def two_stages(
    project: Project,
    choice: ImageChoice,
    build: Iterable[str],
    command: str,
    *,
    copies: Iterable[str] = (COPY_APP,),
    environment: Iterable[str] = (),
    build_packages: Iterable[str] = (),
    run_packages: Iterable[str] = (),
    before: Iterable[str] = (),
) -> str:
    """Return a Dockerfile whose first stage ends with the `build` instructions, as the user app in /app.

    `copies` bring the results into the second stage, and `environment` holds that stage's variables (`NAME=value`).
    `build_packages` and `run_packages` are the Debian packages of the two stages. The stages `before` come first, for
    the build stage to copy from.
    """
    tools = (choice.build_image or choice.image).name
    lines = [
        HEADER,
        *before,
        f"FROM {tools} AS {BUILD_STAGE}",
        "WORKDIR /app",
        *debian_packages(build_packages),
        "USER app",
        *build,
        "",
        f"FROM {choice.image.name}",
        "WORKDIR /app",
        *debian_packages(run_packages),
        *copies,
        "USER app",
        *(f"ENV {setting}" for setting in environment),
        *_ending(project, command),
    ]
    return dockerfile_text(lines)


def one_stage(
    project: Project,
    image: str,
    lines: Iterable[str],
    command: str,
    environment: Iterable[str] = (),
    before: Iterable[str] = (),
) -> str:
    """Return a Dockerfile for what runs in the image that it is built in. It may copy from the stages `before`."""
    text = [
        HEADER,
        *before,
        f"FROM {image}",
        "WORKDIR /app",
        "USER app",
        *(f"ENV {setting}" for setting in environment),
        *lines,
        *_ending(project, command),
    ]
    return dockerfile_text(text)


def plan_of(
    project: Project,
    runtime: str,
    reasons: Iterable[str],
    text: str,
    ignore: Iterable[str] = (),
    copies: Iterable[str] = (),
) -> BuildPlan:
    """Return the plan of a generated Dockerfile; its base images are read from the text."""
    return BuildPlan(
        runtime=runtime,
        reasons=tuple(reasons),
        dockerfile=GENERATED_DOCKERFILE,
        generated=text,
        port=project.port,
        ignore=tuple(ignore),
        copies=tuple(copies),
        base_images=image_names(text),
    )


def image_names(text: str) -> tuple[str, ...]:
    """Return the images that a generated Dockerfile begins or copies from."""
    return tuple(dict.fromkeys(_IMAGE.findall(text)))


def _ending(project: Project, command: str) -> list[str]:
    return [f"ENV PORT={project.port}", f"EXPOSE {project.port}", as_cmd(command)]
