"""What an image has beside its runtime: packages of Debian and other tools that the project names."""

from __future__ import annotations

import json

import pytest

from stackyn_server.buildplan.versions.toolchains import ToolBaseImages, Toolchains
from tests.unit.buildplan.test_plan import FLASK
from tests.unit.buildplan.trees import EVERYTHING, Tree, lines, planned

PYTHON: Tree = {"requirements.txt": "flask\ngunicorn\n", "app.py": FLASK}
NODE: Tree = {"package.json": '{"scripts": {"start": "node s.js"}}', "s.js": ""}
RUBY: Tree = {"Gemfile": "", "app.rb": ""}
GO: Tree = {"go.mod": "module x\n\ngo 1.22\n", "main.go": "package main\n\nfunc main() {}\n"}
RAILPACK = '{"buildAptPackages": ["cmake"], "deploy": {"aptPackages": ["curl", "..."]}}'
SETTLE = "RUN stackyn-settle packages"
PYTHONS = Toolchains(
    {**EVERYTHING.tools, "python": ToolBaseImages("stackyn/python", ("3.11", "3.13"), "3.11")}
)


def stages(tree: Tree, **variables: str) -> list[list[str]]:
    """The lines of each stage, without its FROM."""
    stage_lines: list[list[str]] = []
    for line in lines(planned(tree, toolchains=PYTHONS, host_variables=variables)):
        if line.startswith("FROM "):
            stage_lines.append([])
        elif stage_lines:
            stage_lines[-1].append(line)
    return stage_lines


@pytest.mark.parametrize(
    ("files", "variables", "build", "run"),
    [
        ({"Aptfile": "# tools\njq  # for the report\nlibvips42\n"}, {}, "jq libvips42", "jq libvips42"),
        ({"Aptfile": ":repo:deb http://x y z\nhttps://x/y.deb\n; rm -rf /\n"}, {}, None, None),
        ({"railpack.json": RAILPACK}, {}, "cmake curl", "curl"),
        ({"nixpacks.toml": '[phases.setup]\naptPkgs = ["...", "ffmpeg"]\n'}, {}, "ffmpeg", "ffmpeg"),
        ({}, {"RAILPACK_BUILD_APT_PACKAGES": "git", "RAILPACK_DEPLOY_APT_PACKAGES": "jq,ed"}, "ed git jq", "ed jq"),
        ({"railpack.json": '{"buildAptPackages": "cmake", "deploy": {"aptPackages": {"a": 1}}}'}, {}, None, None),
    ],
)  # fmt: skip
def test_packages_are_where_they_are_needed(
    files: Tree, variables: dict[str, str], build: str | None, run: str | None
) -> None:
    for tree in (RUBY, GO, PYTHON, NODE):
        stage_lines = stages({**tree, **files}, **variables)
        assert len(stage_lines) == 2 or build == run
        for stage, names in ((stage_lines[0], build), (stage_lines[-1], run)):
            installs = [line for line in stage if line.startswith(SETTLE)]
            assert installs == ([f"{SETTLE} {names}"] if names else [])
        assert sum(line.startswith("CMD ") for stage in stage_lines for line in stage) == 1


def test_what_is_built_leaves_its_tools_behind() -> None:
    build, run = stages({**PYTHON, "railpack.json": RAILPACK})
    assert any("pip install" in line for line in build) and not any("pip install" in line for line in run)
    assert "COPY --from=build --chown=app:app /app/ /app/" in run
    assert [line for line in build if line.startswith("ENV VIRTUAL_ENV")] == [
        line for line in run if line.startswith("ENV VIRTUAL_ENV")
    ]
    assert "USER app" in run and run[-1].startswith("CMD ") and "EXPOSE 8080" in run


def test_pages_get_no_packages_and_no_tools() -> None:
    plan = planned(
        {"index.html": "", "Aptfile": "jq\n", "mise.toml": "[tools]\nnode='22'\n"}, toolchains=EVERYTHING
    )
    assert not any("stackyn-settle" in line or "/usr/local" in line for line in lines(plan))
    assert not any("node" in reason for reason in plan.reasons)


def test_a_compiled_program_runs_without_the_tools() -> None:
    build, run = stages({**GO, "mise.toml": "[tools]\nnode = '22'\ngo = '1.25'\n"})
    assert "COPY --from=stackyn/node:22 /usr/local/ /usr/local/" in build
    assert not any("/usr/local" in line for line in run)


def test_a_copyable_tool_is_added_to_the_requested_python() -> None:
    tree = {**NODE, "mise.toml": "[tools]\nnode = '22'\npython = '3.13'\n"}
    plan = planned(tree, toolchains=PYTHONS)
    assert "FROM stackyn/python:3.13" in lines(plan)
    assert "COPY --from=stackyn/node:22 /usr/local/ /usr/local/" in lines(plan)
    assert set(plan.base_images) == {"stackyn/python:3.13", "stackyn/node:22"}
    assert "python is there too, because `mise.toml` names it." in plan.reasons


def test_python_beside_a_tool_of_the_system_is_that_of_debian() -> None:
    for stage in stages({**RUBY, "railpack.json": '{"packages": {"python": "latest"}}'}):
        assert f"{SETTLE} python3 python3-venv" in stage


@pytest.mark.parametrize("tool", ["go", "deno", "node"])
def test_other_tools_are_copied(tool: str) -> None:
    tree = {**PYTHON, "railpack.json": json.dumps({"packages": {tool: "latest"}})}
    plan = planned(tree, toolchains=EVERYTHING)
    choice = EVERYTHING.choose(tool)
    image = (choice.build_image or choice.image).name
    assert f"stackyn/{tool}:" in image
    assert f"COPY --from={image} /usr/local/ /usr/local/" in lines(plan) and image in plan.base_images


def test_a_tool_that_is_not_here_is_left_out_and_said() -> None:
    plan = planned({**RUBY, "mise.toml": "[tools]\nnode = '4'\nterraform = '1'\n"}, toolchains=EVERYTHING)
    assert not any("COPY --from=stackyn/node" in line for line in lines(plan))
    assert any("Node 4" in reason and reason.endswith("It is left out.") for reason in plan.reasons)


def test_railpacks_variables_are_obeyed() -> None:
    variables = {
        "RAILPACK_PACKAGES": "python@3.13 pipx:httpie jq",
        "RAILPACK_BUILD_CMD": "make it",
        "RAILPACK_START_CMD": "python serve.py",
    }
    plan = planned({**PYTHON, "serve.py": ""}, toolchains=PYTHONS, host_variables=variables)
    text = "\n".join(lines(plan))
    assert "FROM stackyn/python:3.13" in text and "RUN make it" in text and "serve.py" in text
    assert f"{SETTLE} jq python3 python3-venv" in text and "/opt/httpie/bin/pip install" in text


def test_steps_of_railpack_take_the_place_of_ours() -> None:
    steps = {"build": {"commands": ["make a", "make b"]}, "install": {"commands": ["...", "make c"]}}
    tree = {**NODE, "railpack.json": json.dumps({"provider": "node", "steps": steps})}
    plan = planned(tree, toolchains=EVERYTHING)
    text = "\n".join(lines(plan))
    assert plan.runtime == "node" and "make a && make b" in text and "make c" not in text
