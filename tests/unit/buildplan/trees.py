"""Plan a tree of files given as a mapping from path to text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.buildplan.plan import files_needed, make_plan
from stackyn_server.buildplan.project import PlanOptions
from stackyn_server.buildplan.versions.toolchains import ToolBaseImages, Toolchains
from stackyn_server.domain.failures import DeploymentFailed, Failure

TODAY = Toolchains(
    {
        "python": ToolBaseImages("stackyn/python", ("3.11",), "3.11"),
        "node": ToolBaseImages("stackyn/node", ("22",), "22"),
        "static": ToolBaseImages("stackyn/static", ("1",), "1"),
    }
)


def _compiling(tool: str, default: str, **runs_on: str) -> ToolBaseImages:
    """A tool whose outcome runs in another image: `v1_25="base:12"`."""
    images = {name[1:].replace("_", "."): f"stackyn/{image}" for name, image in runs_on.items()}
    return ToolBaseImages(f"stackyn/{tool}", tuple(images), default, runs_on=images)


# A server with every tool, in the versions that Debian and the package registries give.
EVERYTHING = Toolchains(
    {
        "base": ToolBaseImages("stackyn/base", ("12", "13"), "12"),
        "static": ToolBaseImages("stackyn/static", ("1",), "1"),
        "python": ToolBaseImages("stackyn/python", ("3.11", "3.13"), "3.13"),
        "node": ToolBaseImages("stackyn/node", ("20", "22"), "22"),
        "deno": ToolBaseImages("stackyn/deno", ("2",), "2", has_all_patches=True),
        "go": _compiling("go", "1.25", v1_24="base:12", v1_25="base:12"),
        "rust": _compiling("rust", "1.85", v1_63="base:12", v1_85="base:13"),
        "java": _compiling("java", "21", v17="jre:17", v21="jre:21"),
        "php": ToolBaseImages("stackyn/php", ("8.2", "8.4"), "8.4"),
        "ruby": ToolBaseImages("stackyn/ruby", ("3.1", "3.3"), "3.3", has_build_image=True),
        "elixir": _compiling("elixir", "1.18", v1_14="base:12", v1_18="base:13"),
        "dotnet": _compiling("dotnet", "9.0", v8_0="aspnet:8.0", v9_0="aspnet:9.0"),
        "cpp": _compiling("cpp", "13", v13="base:13"),
        "hugo": ToolBaseImages("stackyn/hugo", ("0.168",), "0.168"),
        "jekyll": ToolBaseImages("stackyn/jekyll", ("4.3",), "4.3"),
        "zola": ToolBaseImages("stackyn/zola", ("0.19",), "0.19"),
    }
)

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


def lines(plan: BuildPlan) -> list[str]:
    assert plan.generated is not None
    return plan.generated.splitlines()


def step(plan: BuildPlan, word: str) -> str:
    """The first RUN line with a word in it."""
    return next(line for line in lines(plan) if line.startswith("RUN ") and word in line)
