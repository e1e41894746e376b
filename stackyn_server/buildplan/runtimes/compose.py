"""A Docker Compose file without a Dockerfile beside it: the one service that is built and has a port."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.buildplan.formats.structured_files import Table, table, text_at, with_merge_keys, yaml
from stackyn_server.buildplan.languages import manifest_of_language
from stackyn_server.buildplan.project import PlanOptions, Project, Runtime, undetected
from stackyn_server.buildplan.runtimes.dockerfile import runtime as dockerfile

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
_NAMES_SHOWN = 10
# The container's side of `[address:][port:]port[/protocol]`; the first of a range.
_PORT = re.compile(r"(?:.*:)?(\d{1,5})(?:-\d+)?(?:/tcp)?")


@dataclass(frozen=True, slots=True)
class Service:
    """`folder`, `file` and `target` are the build's, None for an image that is pulled."""

    name: str
    image: str | None
    folder: str | None
    file: str | None
    target: str | None
    ports: tuple[int, ...]
    has_command: bool
    is_inline: bool


def _needs(files: frozenset[str], options: PlanOptions) -> Iterable[str]:
    return NAMES


def _plan(project: Project) -> BuildPlan | None:
    path = project.first(NAMES)
    if path is None or project.options.use_dockerfile is False or manifest_of_language(project.files):
        return None
    services = _services(project, path)
    built = [service for service in services if service.folder is not None]
    if not built:
        return None
    serving = [service for service in built if service.ports] or built
    if len(serving) != 1:
        raise _ambiguous(path, services, serving)
    service = serving[0]
    context = posixpath.normpath(posixpath.join(project.options.root_directory or ".", service.folder or "."))
    if context == ".":
        context = ""
    is_folder = not context or any(file.startswith(f"{context}/") for file in project.everything)
    if context.startswith("..") or posixpath.isabs(context) or not is_folder:
        raise undetected(
            f"The service {service.name} of {path} is built from {service.folder}, which is not in the repository.",
            "Correct `build` there, or set the root directory and the Dockerfile path of the app.",
        )
    plan = _plan_service(project, path, service, context)
    left_out = [other.name for other in services if other is not service]
    reasons = [f"`{path}` is read: its service {service.name} is built and run."]
    if left_out:
        reasons.append(
            f"Its other services are not run here: {', '.join(left_out[:_NAMES_SHOWN])}. "
            "Give the app their addresses by variables."
        )
    if service.has_command:
        reasons.append(
            "Its `command` is not used: the image's own is. Set it as the app's start command if need be."
        )
    return replace(plan, runtime=RUNTIME.name, reasons=(*reasons, *plan.reasons), root=context)


def _plan_service(project: Project, path: str, service: Service, context: str) -> BuildPlan:
    options = replace(
        project.options,
        root_directory=context or None,
        dockerfile_path=service.file,
        build_target=project.options.build_target or service.target,
        port=project.options.port or next(iter(service.ports), None),
    )
    plan = dockerfile.RUNTIME.plan(project.at(options))
    if plan is None and service.is_inline:
        raise undetected(
            f"The service {service.name} of {path} has its Dockerfile inside (dockerfile_inline), which is not read.",
            "Put it into a file called Dockerfile, then push again.",
        )
    if plan is None:
        raise undetected(
            f"The service {service.name} of {path} is built from {context or 'the root'}, which has no Dockerfile.",
            "Add one, or set the app's root directory to that folder to have it detected.",
        )
    return plan


def _services(project: Project, path: str) -> list[Service]:
    return [_service(name, entry) for name, entry in table(yaml(project, path), "services").items()]


def _service(name: str, entry: object) -> Service:
    service = with_merge_keys(entry)
    build = service.get("build")
    details = with_merge_keys(build)
    folder = build if isinstance(build, str) else text_at(details, "context") or ("." if details else None)
    return Service(
        name=name,
        image=text_at(service, "image"),
        folder=folder.removeprefix("./").rstrip("/") or "." if folder is not None else None,
        file=text_at(details, "dockerfile"),
        target=text_at(details, "target"),
        ports=_ports(service),
        has_command="command" in service,
        is_inline="dockerfile_inline" in details,
    )


def _ports(service: Table) -> tuple[int, ...]:
    ports = []
    for key in ("ports", "expose"):
        entries = service.get(key)
        for entry in entries if isinstance(entries, list) else ():
            text = str(entry.get("target", "")) if isinstance(entry, Mapping) else str(entry)
            # `${PORT:-80}:80`: the host's side may be a variable.
            if (match := _PORT.fullmatch(text)) and 0 < int(match[1]) < 65536:
                ports.append(int(match[1]))
        if ports:
            break
    return tuple(dict.fromkeys(ports))


def _ambiguous(path: str, services: list[Service], serving: list[Service]) -> Exception:
    folders = ", ".join(dict.fromkeys(str(service.folder) for service in serving[:_NAMES_SHOWN]))
    return undetected(
        f"{path} has {len(serving)} services that are built, and an app here is one of them: {_listed(services)}.",
        f"Make an app for each, and set its root directory ({folders}); services that are only pulled need a server of "
        "their own.",
    )


def only_images(project: Project) -> str | None:
    """Return the sentence that refuses a Compose file that builds nothing; None otherwise."""
    path = project.first(NAMES)
    if path is None:
        return None
    services = _services(project, path)
    if not services or any(service.folder is not None for service in services):
        return None
    return f"{path} builds nothing: its services are images that are pulled: {_listed(services)}."


def _listed(services: list[Service]) -> str:
    return "; ".join(
        f"{service.name} (built from {service.folder})"
        if service.folder is not None
        else f"{service.name} (image {service.image or 'not named'})"
        for service in services[:_NAMES_SHOWN]
    )


RUNTIME = Runtime(name="compose", looked_for=f"a Docker Compose file ({NAMES[3]})", needs=_needs, plan=_plan)
