"""The repository's own Dockerfile: where it is, and the checks before it is built."""

from __future__ import annotations

from collections.abc import Iterable

from stackyn_server.buildplan.build_plan import GENERATED_DOCKERFILE, BuildPlan
from stackyn_server.buildplan.formats.text import decode, encoding_of
from stackyn_server.buildplan.project import PlanOptions, Project, Runtime
from stackyn_server.buildplan.runtimes.dockerfile.repeatable import is_repeatable
from stackyn_server.buildplan.runtimes.dockerfile.syntax import DockerfileFacts, read_dockerfile
from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode

USUAL_PATH = "Dockerfile"
# In order of preference; any other spelling comes after these.
_NAMES = (USUAL_PATH, "dockerfile", "Containerfile", "containerfile")
_NAMES_SHOWN = 10


def find_dockerfile(files: frozenset[str]) -> str | None:
    """Return the Dockerfile in the root, in any usual spelling."""
    if name := next((name for name in _NAMES if name in files), None):
        return name
    other_spellings = (path for path in files if path.lower() in ("dockerfile", "containerfile"))
    return min(other_spellings, key=lambda name: (name.lower() != "dockerfile", name), default=None)


def _needs(files: frozenset[str], options: PlanOptions) -> Iterable[str]:
    path = options.dockerfile_path or find_dockerfile(files)
    return (path,) if path else ()


def _plan(project: Project) -> BuildPlan | None:
    path, context_path = _locate(project)
    if path is None:
        return None
    text = _read(project, path, context_path)
    facts = read_dockerfile(text)
    if not facts.stages and not facts.syntax:
        raise _invalid(f"{path} can't be built: it has no FROM line.", "Correct it, then push again.")
    target = project.options.build_target
    if target and not facts.syntax and not facts.has_stage(target):
        raise _no_stage(path, target, facts)
    reasons = [f"`{path}` is in the repository, so it is built as it says."]
    if target:
        reasons.append(f"The stage {target} is built, as set for the app.")
    if port := project.options.port:
        reasons.append(f"The port {port} is the one set for the app.")
    return BuildPlan(
        runtime=RUNTIME.name,
        reasons=tuple(reasons),
        dockerfile=context_path or GENERATED_DOCKERFILE,
        generated=None,
        port=port,
        base_images=facts.base_images,
        dockerfile_from=None if context_path else path,
        syntax=facts.syntax,
        arguments=facts.arguments,
        is_started=facts.says_what_is_started(target),
        repeatable=is_repeatable(text),
    )


def _locate(project: Project) -> tuple[str | None, str | None]:
    """Return the Dockerfile's path as people write it, and its path in the context (None: outside of it)."""
    dockerfile_path = project.options.dockerfile_path
    if not dockerfile_path:
        dockerfile = find_dockerfile(project.files)
        return dockerfile, dockerfile
    if project.has(dockerfile_path):
        return dockerfile_path, dockerfile_path
    if dockerfile_path in project.everything:
        path_below_root = dockerfile_path.removeprefix(project.prefix)
        return dockerfile_path, path_below_root if project.has(path_below_root) else None
    raise _invalid(
        f"There is no file {dockerfile_path} in the repository.", "Change the app's Dockerfile path."
    )


def _read(project: Project, path: str, context_path: str | None) -> str:
    """Return the Dockerfile's text. Raises `DeploymentFailed` for one that no builder could read as text."""
    content = project.contents.get(path if context_path is None else project.prefix + context_path)
    if content is None:
        raise _invalid(
            f"{path} is a link that leads to no file of the repository.", "Commit the file itself."
        )
    if (encoding := encoding_of(content)) != "utf-8":
        problem = f"{path} is saved as {encoding[:6].upper()}, and a Dockerfile has to be UTF-8."
    elif b"\0" in content:
        problem = f"{path} is no text file: it has NUL characters, as in UTF-16."
    else:
        return decode(content)
    raise _invalid(problem, "Save it as UTF-8, then push again.")


def _no_stage(path: str, target: str, facts: DockerfileFacts) -> DeploymentFailed:
    names = [stage for stage in facts.stages if stage]
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    stages_sentence = (
        f"It has: {', '.join(names[:_NAMES_SHOWN])}{more}." if names else "Its stages have no names."
    )
    return _invalid(f"{path} has no stage {target}.", f"{stages_sentence} Change the app's build target.")


def _invalid(message: str, hint: str) -> DeploymentFailed:
    return DeploymentFailed(Failure(FailureCode.DOCKERFILE_INVALID, message, hint))


RUNTIME = Runtime(name="dockerfile", looked_for=USUAL_PATH, needs=_needs, plan=_plan)
