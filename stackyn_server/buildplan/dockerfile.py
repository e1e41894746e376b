"""The repository's own Dockerfile."""

from __future__ import annotations

from collections.abc import Iterable

from stackyn_server.buildplan.dockerfile_syntax import DockerfileFacts, DockerfileFault, read_dockerfile
from stackyn_server.buildplan.outcome import BuildPlan
from stackyn_server.buildplan.project import PlanOptions, Project, Runtime
from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode

USUAL_PATH = "Dockerfile"


def _path(options: PlanOptions) -> str:
    return options.dockerfile_path or USUAL_PATH


def _needs(files: frozenset[str], options: PlanOptions) -> Iterable[str]:
    return (_path(options),)


def _plan(project: Project) -> BuildPlan | None:
    path = _path(project.options)
    if not project.has(path):
        if project.options.dockerfile_path:
            raise _invalid(f"There is no file {path} in the repository.", "Change the app's Dockerfile path.")
        return None
    try:
        facts = read_dockerfile(project.text(path) or "")
    except DockerfileFault as fault:
        raise _invalid(f"{path} can't be built: {fault}", "Correct it, then push again.") from fault
    port, reason = _port(project, facts)
    reasons = [f"`{path}` is in the repository, so it is built as it says.", reason]
    if facts.needs_buildkit:
        reasons.append(f"It needs BuildKit: {facts.needs_buildkit}.")
    return BuildPlan(
        runtime=RUNTIME.name,
        reasons=tuple(reasons),
        dockerfile=path,
        generated=None,
        port=port,
        needs_buildkit=bool(facts.needs_buildkit),
        syntax=facts.syntax,
    )


def _port(project: Project, facts: DockerfileFacts) -> tuple[int, str]:
    if project.options.port:
        return project.options.port, f"The port {project.options.port} is the one set for the app."
    if len(facts.exposed) == 1:
        return facts.exposed[0], f"The port {facts.exposed[0]} is the one that it exposes."
    many = "It exposes several ports" if facts.exposed else "It exposes no port"
    default = project.options.default_port
    return default, f"{many}, so the app is expected on {default}, which it gets as PORT."


def _invalid(message: str, hint: str) -> DeploymentFailed:
    return DeploymentFailed(Failure(FailureCode.DOCKERFILE_INVALID, message, hint))


RUNTIME = Runtime(name="dockerfile", looked_for=USUAL_PATH, needs=_needs, plan=_plan)
