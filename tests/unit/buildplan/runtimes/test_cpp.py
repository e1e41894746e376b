"""C and C++: CMake, Meson and make."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.unit.buildplan.trees import EVERYTHING, Tree, command, lines, planned, step

CMAKE = "cmake_minimum_required(VERSION 3.20)\nproject(shop CXX)\nadd_executable(${PROJECT_NAME} main.cc)\n"
MESON = "project('shop', 'cpp')\nexecutable('shopd', 'main.cc')\n"


@pytest.mark.parametrize(
    ("tree", "tool", "names"),
    [
        ({"CMakeLists.txt": CMAKE, "main.cc": ""}, "cmake --build", "for name in shop "),
        (
            {"CMakeLists.txt": CMAKE + "add_executable(server s.cc)\n"},
            "cmake --build",
            "for name in server shop ",
        ),
        ({"meson.build": MESON, "main.cc": ""}, "meson compile", "for name in shopd shop "),
        ({"Makefile": "all:\n\tcc -o shop main.c\n", "main.c": ""}, "make -j", "for name in server app "),
    ],
)
def test_the_program_that_was_built_is_run(tree: Tree, tool: str, names: str) -> None:
    plan = planned(tree, toolchains=EVERYTHING)
    assert plan.runtime == "cpp" and tool in step(plan, tool)
    assert names in step(plan, "/tmp/programs") and command(plan) == "exec bin/start-app"
    assert {"FROM stackyn/cpp:13 AS build", "FROM stackyn/base:13"} <= set(lines(plan))


def test_a_start_command_runs_the_sources_not_a_script() -> None:
    tree = {"Makefile": "all:\n", "serve.c": "", "devel/check.py": ""}
    assert planned(tree, toolchains=EVERYTHING, start_command="./serve").runtime == "cpp"
    assert (
        planned({**tree, "requirements.txt": ""}, toolchains=EVERYTHING, start_command="./s").runtime
        == "python"
    )


def test_a_makefile_of_another_language_is_only_a_tool() -> None:
    tree = {"Makefile": "all:\n", "index.html": ""}
    assert planned(tree, toolchains=EVERYTHING).runtime == "static"


def find(folder: Path, tree: Tree) -> subprocess.CompletedProcess[str]:
    """Run the step that looks for the program, in a folder where a build has just ended."""
    step_line = step(planned(tree, toolchains=EVERYTHING), "/tmp/programs").removeprefix("RUN ")
    before = folder.parent / "before"
    script = step_line.replace("/tmp/before", str(before)).replace(
        "/tmp/programs", str(folder.parent / "programs")
    )
    before.touch()
    subprocess.run(["touch", "-d", "2 seconds ago", before], check=True)
    return subprocess.run(["sh", "-ec", script], cwd=folder, capture_output=True, text=True, check=False)


def program(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x7fELF")
    path.chmod(0o755)


def test_the_only_program_is_found_whatever_its_name(tmp_path: Path) -> None:
    program(tmp_path / "work" / "out" / "anything")
    (tmp_path / "work" / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "work" / "run.sh").chmod(0o755)
    assert find(tmp_path / "work", {"Makefile": "all:", "main.c": ""}).returncode == 0
    assert (tmp_path / "work" / "bin" / "start-app").resolve() == tmp_path / "work" / "out" / "anything"


def test_the_named_one_of_several_programs_is_found(tmp_path: Path) -> None:
    for name in ("aaa", "shop", "zzz"):
        program(tmp_path / "work" / "build" / name)
    assert find(tmp_path / "work", {"CMakeLists.txt": CMAKE}).returncode == 0
    assert (tmp_path / "work" / "bin" / "start-app").resolve().name == "shop"


def test_several_programs_without_a_known_name_are_named(tmp_path: Path) -> None:
    program(tmp_path / "work" / "one")
    program(tmp_path / "work" / "two")
    ended = find(tmp_path / "work", {"Makefile": "all:", "main.c": ""})
    assert ended.returncode != 0 and "./one" in ended.stderr and "start command" in ended.stderr
