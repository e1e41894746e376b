"""Plan a tree of files given as a mapping from path to text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from stackyn_server.buildplan.plan import BuildPlan, PlanOptions, files_needed, make_plan
from stackyn_server.buildplan.toolchains import Toolchains
from stackyn_server.domain.failures import DeploymentFailed, Failure

TODAY = Toolchains.of_images(python="stackyn/python:3.11", node="stackyn/node:22", static="stackyn/static:1")

Tree = Mapping[str, str | bytes]


def encoded(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def planned(tree: Tree, **options: Any) -> BuildPlan:
    """Plan as the pipeline does: any file can be read; those of `files_needed` are there before."""
    options.setdefault("toolchains", TODAY)
    chosen = PlanOptions(default_port=8080, **options)
    assert set(files_needed(tree, chosen)) <= set(tree)
    plan = make_plan(tree, {path: encoded(text) for path, text in tree.items()}, chosen)
    assert BuildPlan.from_json(plan.as_json()) == plan
    return plan


def refused(tree: Tree, **options: Any) -> Failure:
    with pytest.raises(DeploymentFailed) as failed:
        planned(tree, **options)
    assert not failed.value.retryable
    return failed.value.failure


def command(plan: BuildPlan) -> str:
    """The shell command in the CMD of a generated Dockerfile."""
    assert plan.generated is not None
    line = next(line for line in plan.generated.splitlines() if line.startswith("CMD "))
    return line.removeprefix('CMD ["sh", "-c", "').removesuffix('"]').replace('\\"', '"')
