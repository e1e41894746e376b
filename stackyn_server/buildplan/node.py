"""Node: placeholder until its own commit."""

from __future__ import annotations

from collections.abc import Iterable

from stackyn_server.buildplan.outcome import BuildPlan
from stackyn_server.buildplan.project import PlanOptions, Project, Runtime


def _needs(files: frozenset[str], options: PlanOptions) -> Iterable[str]:
    return ()


def _plan(project: Project) -> BuildPlan | None:
    return None


RUNTIME = Runtime(name="node", looked_for="Node (package.json)", needs=_needs, plan=_plan)
