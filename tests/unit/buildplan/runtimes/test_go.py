"""Go: which program is built, with which version, and how."""

from __future__ import annotations

import pytest

from tests.unit.buildplan.trees import EVERYTHING, Tree, command, lines, planned, refused, step

MOD = "module example.com/team/shop\n\ngo 1.24\n"
MAIN = "package main\n\nfunc main() {}\n"
LIBRARY = "package store\n"


@pytest.mark.parametrize(
    ("tree", "folder", "program"),
    [
        ({"go.mod": MOD, "main.go": MAIN}, ".", "shop"),
        ({"go.mod": MOD, "serve.go": "// the shop\npackage main\n", "store/store.go": LIBRARY}, ".", "shop"),
        ({"go.mod": MOD, "cmd/shopd/main.go": MAIN, "store.go": LIBRARY}, "./cmd/shopd", "shopd"),
        ({"go.mod": MOD, "cmd/main.go": MAIN}, "./cmd", "cmd"),
        ({"go.mod": MOD, "cmd/migrate/main.go": MAIN, "cmd/server/main.go": MAIN}, "./cmd/server", "server"),
        ({"go.mod": MOD, "cmd/admin/main.go": MAIN, "cmd/shop/main.go": MAIN}, "./cmd/shop", "shop"),
        ({"go.mod": MOD, "main.go": MAIN, "cmd/tool/main.go": MAIN}, ".", "shop"),
        ({"go.mod": "module shop/v2\n", "main.go": MAIN}, ".", "shop"),
        ({"go.mod": MOD, "main_test.go": MAIN, "server/main.go": MAIN}, "./server", "server"),
        ({"go.mod": MOD, "examples/a/main.go": MAIN, "src/main.go": MAIN}, "./src", "src"),
        ({"go.work": "go 1.24\nuse ./api\n", "api/go.mod": MOD, "api/main.go": MAIN}, "./api", "api"),
        ({"main.go": MAIN}, ".", "app"),
    ],
)
def test_the_program_that_serves_is_built_and_run(tree: Tree, folder: str, program: str) -> None:
    plan = planned(tree, toolchains=EVERYTHING)
    assert plan.runtime == "go"
    assert step(plan, "go build").endswith(f"-o bin/{program} {folder}".removesuffix("/."))
    assert command(plan) == f"exec bin/{program}"


def test_several_programs_without_a_usual_name_are_refused() -> None:
    failure = refused(
        {"go.mod": MOD, "cmd/one/main.go": MAIN, "cmd/two/main.go": MAIN}, toolchains=EVERYTHING
    )
    assert "2 programs" in failure.message and "bin/one (cmd/one), bin/two (cmd/two)" in failure.hint


def test_all_programs_are_built_for_a_start_command() -> None:
    tree = {
        "go.mod": MOD,
        "cmd/one/main.go": MAIN,
        "cmd/two/main.go": MAIN,
        "Procfile": "web: bin/two -http :$PORT",
    }
    plan = planned(tree, toolchains=EVERYTHING)
    assert "bin/one ./cmd/one" in step(plan, "go build") and "bin/two ./cmd/two" in step(plan, "go build")
    assert command(plan) == "exec bin/two -http :$PORT"


def test_a_start_command_may_name_the_program_alone() -> None:
    """As in a Procfile for Heroku, whose Go apps have their programs on the path."""
    plan = planned({"go.mod": MOD, "main.go": MAIN, "Procfile": "web: shop\n"}, toolchains=EVERYTHING)
    assert "-o bin/shop" in step(plan, "go build")
    assert command(plan) == "exec shop"
    assert "ENV PATH=/app/bin:$PATH" in lines(plan)


def test_a_library_is_refused() -> None:
    failure = refused({"go.mod": MOD, "store.go": LIBRARY}, toolchains=EVERYTHING)
    assert "Go project (go.mod)" in failure.message


@pytest.mark.parametrize(
    ("tree", "image"),
    [
        ({"go.mod": "module a\n\ngo 1.16\n"}, "stackyn/go:1.25"),
        ({"go.mod": "module a\n\ngo 1.24.3\n\ntoolchain go1.24.9\n"}, "stackyn/go:1.25"),
        ({"go.mod": MOD, ".go-version": "1.24"}, "stackyn/go:1.24"),
        ({"go.mod": MOD, "mise.toml": '[tools]\ngo = "1.24"\n'}, "stackyn/go:1.24"),
        ({"go.mod": MOD, ".tool-versions": "golang 1.24\n"}, "stackyn/go:1.24"),
    ],
)
def test_the_version_is_read_from_the_project(tree: Tree, image: str) -> None:
    plan = planned({**tree, "main.go": MAIN}, toolchains=EVERYTHING)
    assert f"FROM {image} AS build" in lines(plan) and "FROM stackyn/base:12" in lines(plan)


def test_a_pinned_patch_is_fetched_by_go_itself() -> None:
    plan = planned({"go.mod": MOD, ".go-version": "1.25.3", "main.go": MAIN}, toolchains=EVERYTHING)
    assert any("GOTOOLCHAIN=go1.25.3" in line for line in lines(plan))


def test_a_version_that_is_too_new_is_refused_with_both() -> None:
    failure = refused({"go.mod": "module a\n\ngo 1.99\n", "main.go": MAIN}, toolchains=EVERYTHING)
    assert failure.message == "`go.mod` asks for Go >=1.99, and this server has Go 1.24 and 1.25."


def test_a_generator_of_code_is_no_program() -> None:
    generator = "//go:build ignore\n\npackage main\n"
    tree = {
        "go.mod": "module shop",
        "gen.go": generator,
        "shop.go": "package shop",
        "cmd/web/main.go": "package main",
    }
    assert command(planned(tree, toolchains=EVERYTHING)) == "exec bin/web"


def test_another_modules_program_is_built_in_a_workspace_only() -> None:
    tree = {
        "go.mod": "module shop",
        "shop.go": "package shop",
        "web/go.mod": "module web",
        "web/main.go": "package main",
    }
    assert "Set the root directory to web, " in refused(tree).hint
    assert command(planned({**tree, "go.work": "use .\nuse ./web"}, toolchains=EVERYTHING)) == "exec bin/web"


def test_a_module_below_is_no_part_of_the_root() -> None:
    main = "package main\n\nfunc main() {}\n"
    tree = {
        "go.mod": "module x\n",
        "cmd/a/main.go": main,
        "server/go.mod": "module y\n",
        "server/main.go": main,
    }
    assert "./cmd/a" in step(planned(tree, toolchains=EVERYTHING), "go build")


def test_the_other_programs_are_named() -> None:
    main = "package main\nfunc main() {}\n"
    tree = {"go.mod": "module shop\n\ngo 1.24\n", "cmd/api/main.go": main, "cmd/seed/main.go": main}
    reason = "To have another one, set the start command: bin/seed."
    assert reason in planned(tree, toolchains=EVERYTHING).reasons
