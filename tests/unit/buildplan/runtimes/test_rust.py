"""Rust: packages, workspaces, and which of several programs is run."""

from __future__ import annotations

import pytest

from tests.unit.buildplan.trees import EVERYTHING, Tree, command, lines, planned, refused, step

PACKAGE = '[package]\nname = "shop"\nversion = "1.0.0"\nedition = "2021"\n'
MAIN = "fn main() {}\n"
WORKSPACE = '[workspace]\nmembers = ["crates/*"]\n'


def member(name: str) -> str:
    return f'[package]\nname = "{name}"\nversion = "1.0.0"\n'


@pytest.mark.parametrize(
    ("tree", "manifest", "program"),
    [
        ({"Cargo.toml": PACKAGE, "src/main.rs": MAIN}, "Cargo.toml", "shop"),
        ({"Cargo.toml": PACKAGE, "src/bin/web.rs": MAIN, "src/lib.rs": ""}, "Cargo.toml", "web"),
        ({"Cargo.toml": PACKAGE, "src/bin/http/main.rs": MAIN}, "Cargo.toml", "http"),
        (
            {
                "Cargo.toml": PACKAGE.replace("edition", 'default-run = "b"\nedition'),
                "src/bin/a.rs": MAIN,
                "src/bin/b.rs": MAIN,
            },
            "Cargo.toml",
            "b",
        ),
        ({"Cargo.toml": PACKAGE, "src/main.rs": MAIN, "src/bin/seed.rs": MAIN}, "Cargo.toml", "shop"),
        (
            {"Cargo.toml": PACKAGE + '[[bin]]\nname = "shopd"\npath = "src/main.rs"\n', "src/main.rs": MAIN},
            "Cargo.toml",
            "shopd",
        ),
        (
            {
                "Cargo.toml": WORKSPACE,
                "crates/lib/Cargo.toml": member("lib"),
                "crates/lib/src/lib.rs": "",
                "crates/web/Cargo.toml": member("front"),
                "crates/web/src/main.rs": MAIN,
            },
            "crates/web/Cargo.toml",
            "front",
        ),
        (
            {
                "Cargo.toml": '[workspace]\nmembers = ["one", "server"]\n',
                "one/Cargo.toml": member("one"),
                "one/src/main.rs": MAIN,
                "server/Cargo.toml": member("server"),
                "server/src/main.rs": MAIN,
                "other/Cargo.toml": member("app"),
                "other/src/main.rs": MAIN,
            },
            "server/Cargo.toml",
            "server",
        ),
        (
            {
                "Cargo.toml": WORKSPACE + 'default-members = ["./crates/one"]\n',
                "crates/one/Cargo.toml": member("one"),
                "crates/one/src/main.rs": MAIN,
                "crates/server/Cargo.toml": member("server"),
                "crates/server/src/main.rs": MAIN,
            },
            "crates/one/Cargo.toml",
            "one",
        ),
    ],
)
def test_the_program_that_serves_is_built_and_run(tree: Tree, manifest: str, program: str) -> None:
    plan = planned(tree, toolchains=EVERYTHING)
    assert plan.runtime == "rust"
    assert f"--manifest-path {manifest} --bin {program} " in step(plan, "cargo build")
    assert command(plan) == f"exec bin/{program}"


def test_several_programs_without_a_usual_name_are_refused() -> None:
    tree = {"Cargo.toml": PACKAGE, "src/bin/one.rs": MAIN, "src/bin/two.rs": MAIN}
    failure = refused(tree, toolchains=EVERYTHING)
    assert "2 programs" in failure.message and "bin/one, bin/two" in failure.hint


def test_a_library_is_refused() -> None:
    failure = refused({"Cargo.toml": PACKAGE, "src/lib.rs": ""}, toolchains=EVERYTHING)
    assert "only a library" in failure.message


@pytest.mark.parametrize(
    ("files", "image", "runs_on"),
    [
        ({}, "rust:1.85", "base:13"),
        ({"rust-toolchain.toml": '[toolchain]\nchannel = "1.63"\n'}, "rust:1.63", "base:12"),
        ({"rust-toolchain": "1.63.0\n"}, "rust:1.63", "base:12"),
        ({"rust-toolchain.toml": '[toolchain]\nchannel = "stable"\n'}, "rust:1.85", "base:13"),
        ({".tool-versions": "rust 1.63.0\n"}, "rust:1.63", "base:12"),
        ({"mise.toml": '[tools]\nrust = "latest"\n'}, "rust:1.85", "base:13"),
        ({"Cargo.toml": PACKAGE.replace("2021", "2024")}, "rust:1.85", "base:13"),
    ],
)
def test_the_version_and_the_system_it_runs_on(files: Tree, image: str, runs_on: str) -> None:
    plan = planned({"Cargo.toml": PACKAGE, "src/main.rs": MAIN, **files}, toolchains=EVERYTHING)
    assert f"FROM stackyn/{image} AS build" in lines(plan) and f"FROM stackyn/{runs_on}" in lines(plan)


@pytest.mark.parametrize("toolchain", ["1.59.0", "nightly-2024-01-01"])
def test_a_toolchain_that_is_not_there_is_refused(toolchain: str) -> None:
    tree = {
        "Cargo.toml": PACKAGE,
        "src/main.rs": MAIN,
        "rust-toolchain.toml": f'[toolchain]\nchannel = "{toolchain}"\n',
    }
    failure = refused(tree, toolchains=EVERYTHING)
    assert toolchain in failure.message and "1.63 and 1.85" in failure.message


def test_rocket_listens_for_visitors() -> None:
    tree = {"Cargo.toml": PACKAGE + '[dependencies]\nrocket = "0.5"\n', "src/main.rs": MAIN}
    settings = ["ENV ROCKET_ADDRESS=0.0.0.0", "ENV ROCKET_PORT=8080"]
    assert [line for line in lines(planned(tree, toolchains=EVERYTHING)) if "ROCKET" in line] == settings


def test_a_lock_is_kept_to() -> None:
    tree = {"Cargo.toml": PACKAGE, "src/main.rs": MAIN}
    assert "--locked" not in step(planned(tree, toolchains=EVERYTHING), "cargo build")
    assert "--locked" in step(planned({**tree, "Cargo.lock": ""}, toolchains=EVERYTHING), "cargo build")


def test_a_manifest_that_is_no_toml_is_refused_with_its_line() -> None:
    failure = refused({"Cargo.toml": '[package]\nname = "shop\n'}, toolchains=EVERYTHING)
    assert failure.message == "Cargo.toml is not valid TOML." and "line 2" in failure.evidence


def test_a_member_of_a_workspace_is_built_from_the_root_of_it() -> None:
    tree = {
        "rs/Cargo.toml": '[workspace]\nmembers = ["crates/*"]\n[workspace.package]\nedition = "2021"\n',
        "rs/Cargo.lock": "",
        "rs/crates/api/Cargo.toml": '[package]\nname = "api"\nedition.workspace = true\n',
        "rs/crates/api/src/main.rs": MAIN,
        "rs/crates/other/Cargo.toml": PACKAGE,
        "rs/crates/other/src/main.rs": MAIN,
    }
    plan = planned(tree, root_directory="rs/crates/api", toolchains=EVERYTHING)
    assert plan.root == "rs"
    assert "cargo build --release --locked --manifest-path crates/api/Cargo.toml --bin api" in step(
        plan, "cargo"
    )
    assert command(plan) == "cd crates/api && exec ../../bin/api"
    own = planned(tree, root_directory="rs/crates/api", build_command="make", toolchains=EVERYTHING)
    assert "cd crates/api && make" in step(own, "make")
    alone = {path: text for path, text in tree.items() if path != "rs/Cargo.toml"}
    assert planned(alone, root_directory="rs/crates/other", toolchains=EVERYTHING).root is None


@pytest.mark.parametrize(
    ("files", "tool"),
    [
        ({"Trunk.toml": ""}, "Trunk"),
        ({"index.html": '<link data-trunk rel="rust"/>'}, "Trunk"),
        ({"Dioxus.toml": ""}, "Dioxus"),
        ({"Cargo.toml": PACKAGE + "[package.metadata.leptos]\nsite-root = 'a'\n"}, "cargo-leptos"),
    ],
)
def test_projects_of_trunk_leptos_and_dioxus_are_refused(files: Tree, tool: str) -> None:
    tree = {"Cargo.toml": PACKAGE, "src/main.rs": MAIN, **files}
    failure = refused(tree, toolchains=EVERYTHING)
    assert tool in failure.message and "Dockerfile" in failure.hint
    assert planned(tree, toolchains=EVERYTHING, build_command="make", start_command="bin/a").runtime == "rust"


def test_the_other_programs_are_named() -> None:
    tree = {"Cargo.toml": PACKAGE, "src/main.rs": MAIN, "src/bin/seed.rs": MAIN}
    reason = "To have another one, set the start command: bin/seed."
    assert reason in planned(tree, toolchains=EVERYTHING).reasons
