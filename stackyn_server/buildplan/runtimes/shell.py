"""A shell script: start.sh is run as it is, or the script that the owner's start command names."""

from __future__ import annotations

from collections.abc import Iterable

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.buildplan.generated.instructions import COPY_ALL, run
from stackyn_server.buildplan.generated.stages import one_stage, plan_of
from stackyn_server.buildplan.languages import manifest_of_language
from stackyn_server.buildplan.project import PlanOptions, Project, Runtime
from stackyn_server.buildplan.settings.start_command import configured_command

SCRIPT = "start.sh"
# The shells of the base image.
_SHELLS = ("bash", "sh", "dash")


def _needs(files: frozenset[str], options: PlanOptions) -> Iterable[str]:
    return (SCRIPT,) if SCRIPT in files else ()


def _plan(project: Project) -> BuildPlan | None:
    configured = configured_command(project)
    if configured and (project.has(SCRIPT) or _runs_a_file(project, configured[0])):
        command, reasons = configured[0], [configured[1]]
    elif project.has(SCRIPT):
        reasons = [f"`{SCRIPT}` is run; it has to start what listens on the port in PORT."]
        command = f"{_shell(project.text(SCRIPT) or '')} {SCRIPT}"
    else:
        return None
    choice = project.options.toolchains.choose("base")
    steps = (project.options.install_command, project.options.build_command)
    lines = [COPY_ALL, *(run(step) for step in steps if step)]
    return plan_of(project, RUNTIME.name, reasons, one_stage(project, choice.image.name, lines, command))


def _runs_a_file(project: Project, command: str) -> bool:
    """True if a command such as `./run.sh` names a file of the repository, and the repository is of no language."""
    words = (word.strip("'\"").removeprefix("./") for word in command.split())
    return manifest_of_language(project.files) is None and any(map(project.has, words))


def _shell(script: str) -> str:
    """Return the shell that the first line names; bash if it names none, or one that the image lacks."""
    words = script.partition("\n")[0].removeprefix("#!").split() if script.startswith("#!") else []
    names = [word.rpartition("/")[2] for word in words]
    return next((name for name in names if name in _SHELLS), "bash")


RUNTIME = Runtime(
    name="shell", looked_for=f"a script {SCRIPT}, or a start command that runs one", needs=_needs, plan=_plan
)
