"""A frontend inside of a Go program: what is embedded, what makes it, and what nothing makes."""

from __future__ import annotations

import json

import pytest

from stackyn_server.buildplan.runtimes.node.frontend import overlaps
from tests.unit.buildplan.trees import EVERYTHING, Tree, lines, planned, refused

MOD = "module example.com/shop\n\ngo 1.24\n"
MAIN = 'package main\n\nimport "example.com/shop/web"\n\nfunc main() { web.Serve() }\n'
WEB = 'package web\n\nimport "embed"\n\n//go:embed {}\nvar files embed.FS\n'
VITE = {"vite": "^7"}


def package(build: str = "vite build", **scripts: str) -> str:
    return json.dumps({"scripts": {"build": build, **scripts}, "devDependencies": VITE})


def shop(pattern: str, **files: str) -> dict[str, str]:
    """A program whose package `web` embeds a pattern."""
    return {"go.mod": MOD, "main.go": MAIN, "web/web.go": WEB.format(pattern), **files}


def brought(tree: Tree) -> list[str]:
    """What the stage of the Go program takes from those of frontends."""
    front = "COPY --from=frontend --chown=app:app /app/"
    copies = [line for line in lines(planned(tree, toolchains=EVERYTHING)) if "from=frontend" in line]
    assert all(line.startswith(front) for line in copies)
    return [line.removeprefix(front).split()[1] for line in copies]


@pytest.mark.parametrize(
    "pattern", ["dist", "all:dist", "dist/*", "all:dist/*", '"dist"', "`dist/assets`", "a.txt dist"]
)
def test_the_folder_that_a_build_makes_is_embedded(pattern: str) -> None:
    assert brought(shop(pattern, **{"web/package.json": package(), "web/a.txt": ""})) == ["web/dist"]


@pytest.mark.parametrize(
    ("manifest", "script"),
    [
        ({"ui/package.json": package("vite build --outDir ../web/dist")}, "build"),
        ({"ui/package.json": package("tsc && vite build && cp -r dist ../web/dist")}, "build"),
        ({"ui/package.json": package("vite build", postbuild="cp -r dist ../web/dist")}, "build"),
        ({"ui/package.json": package("npm run pages && npm run copy", copy="mv out ../web/dist")}, "build"),
        ({"ui/package.json": package(), "ui/vite.config.ts": "build: { outDir: '../web/dist' }"}, "build"),
        ({"ui/package.json": package(release="vite build --outDir=../web/dist --emptyOutDir")}, "release"),
        ({"package.json": package("vite build --outDir web/dist")}, "build"),
    ],
)
def test_the_script_that_makes_it_is_found(manifest: dict[str, str], script: str) -> None:
    plan = planned({**shop("dist"), **manifest}, toolchains=EVERYTHING)
    assert "COPY --from=frontend --chown=app:app /app/web/dist web/dist" in lines(plan)
    assert any(line.startswith(f"RUN npm run {script} &&") for line in lines(plan))
    (path,) = (path for path in manifest if path.endswith("package.json"))
    expected = (
        f"The `{script}` script of `{path}` is run first: it makes `web/dist`, which the program has inside."
    )
    assert any(reason.startswith(expected) for reason in plan.reasons)


def test_a_frontend_is_built_in_its_own_folder() -> None:
    lock = {"web/pnpm-lock.yaml": "lockfileVersion: '9.0'\n", "web/.nvmrc": "20\n"}
    plan = planned({**shop("dist"), "web/package.json": package(), **lock}, toolchains=EVERYTHING)
    text = lines(plan)
    stage = text[text.index("FROM stackyn/node:20 AS frontend") : text.index("FROM stackyn/go:1.25 AS build")]
    assert [line for line in stage if line.startswith(("COPY", "WORKDIR /app/", "USER", "RUN pnpm"))] == [
        "USER app",
        "COPY --chown=app:app web/package.json web/pnpm-lock.yaml web/",
        "WORKDIR /app/web",
        "RUN pnpm install --frozen-lockfile --prod=false && rm -rf /tmp/packages",
        "COPY --chown=app:app . /app/",
        next(line for line in stage if line.startswith("RUN pnpm run build")),
    ]
    assert plan.base_images == ("stackyn/node:20", "stackyn/go:1.25", "stackyn/base:12")
    assert plan.ignore == ("**/node_modules",) and "web" in plan.copies


@pytest.mark.parametrize("keeper", [".gitkeep", "index.html"])
def test_a_file_that_keeps_the_folder_is_not_the_outcome(keeper: str) -> None:
    """Go takes it for the files, so the program would be built without its pages."""
    assert brought(shop("dist/*", **{"web/package.json": package(), f"web/dist/{keeper}": ""})) == [
        "web/dist"
    ]


def test_a_frontend_that_is_in_the_repository_is_not_built() -> None:
    assert brought(shop("dist", **{"web/package.json": package(), "web/dist/app.js": ""})) == []


def test_styles_beside_committed_files_are_made() -> None:
    tailwind = {
        "package.json": json.dumps({"scripts": {"build": "tailwindcss -i in.css -o web/static/app.css"}})
    }
    assert brought({**shop("static"), "web/static/logo.svg": "", **tailwind}) == ["web/static/app.css"]


def test_templates_that_a_build_reads_are_not_its_outcome() -> None:
    tailwind = {
        "package.json": json.dumps({"scripts": {"build": "tailwindcss --content web/pages -o out.css"}})
    }
    assert brought({**shop("pages"), "web/pages/home.html": "", **tailwind}) == []


def test_each_of_several_frontends_has_a_stage() -> None:
    tree = shop("one/dist two/dist", **{"web/one/package.json": package(), "web/two/package.json": package()})
    text = lines(planned(tree, toolchains=EVERYTHING))
    assert "COPY --from=frontend --chown=app:app /app/web/one/dist web/one/dist" in text
    assert "COPY --from=frontend-2 --chown=app:app /app/web/two/dist web/two/dist" in text


def test_the_settings_of_the_app_are_not_the_frontends() -> None:
    options = {
        "build_command": "go build -o bin/shop .",
        "start_command": "bin/shop",
        "install_command": "true",
    }
    tree = {**shop("dist"), "web/package.json": package()}
    text = "\n".join(lines(planned(tree, toolchains=EVERYTHING, **options)))
    stage = text.partition("FROM stackyn/go")[0]
    assert "npm run build" in stage and "go build" not in stage


@pytest.mark.parametrize(
    "tree",
    [
        shop("dist", **{"web/web_test.go": ""}),
        shop("dist/*", **{"web/package.json": json.dumps({"scripts": {"dev": "vite"}})}),
        shop("dist", **{"web/dist/.gitkeep": ""}),
        shop(
            "dist",
            **{"web/package.json": package("vite build --watch", dev="vite build --watch --outDir=dist")},
        )
        | {"web/vite.config.js": "outDir: 'public'"},
    ],
)
def test_what_nothing_makes_is_refused_with_its_pattern(tree: Tree) -> None:
    failure = refused(tree, toolchains=EVERYTHING)
    assert (
        failure.message.startswith("`web/web.go` embeds `dist") and "not in the repository" in failure.message
    )
    assert "Commit `web/dist`, " in failure.hint


def test_the_refusal_names_the_script_that_could_write_there() -> None:
    failure = refused({**shop("site"), "ui/package.json": package()}, toolchains=EVERYTHING)
    assert "have the `build` script of ui write it to `web/site`" in failure.hint
    assert "root directory" not in failure.hint


def test_commands_of_the_owner_may_make_it() -> None:
    for key in ("install_command", "build_command"):
        assert planned(shop("dist"), toolchains=EVERYTHING, **{key: "make dist"}).runtime == "go"


@pytest.mark.parametrize(
    "files",
    [
        {"tools/gen/gen.go": WEB.format("dist")},  # no program imports it
        {"web/dev.go": "//go:build dev\n\n" + WEB.format("dist")},
        {"web/other.go": "//go:build windows || (linux && embed)\n\n" + WEB.format("dist")},
        {"web/web_test.go": WEB.format("dist")},
        {"web/doc.go": "package web\n\n//     //go:embed dist\n"},
    ],
)
def test_what_is_not_part_of_the_program_is_not_missed(files: Tree) -> None:
    tree = {**shop("a.txt", **{"web/a.txt": ""}), **files}
    assert planned(tree, toolchains=EVERYTHING).runtime == "go"


def test_constraints_that_hold_leave_a_file_in() -> None:
    tree = {"go.mod": MOD, "main.go": "//go:build !dev && go1.20\n\n" + MAIN.replace("/web", "/ui")}
    ui = {"ui/ui.go": WEB.format("dist")}
    assert "`ui/ui.go` embeds `dist`" in refused({**tree, **ui}, toolchains=EVERYTHING).message


def test_a_package_of_a_workspace_is_part_of_the_program() -> None:
    tree = {
        "go.work": "go 1.24\nuse ./api\nuse ./ui\n",
        "api/go.mod": "module example.com/api\n",
        "api/main.go": 'package main\n\nimport "example.com/ui"\n',
        "ui/go.mod": "module example.com/ui\n",
        "ui/ui.go": WEB.format("dist"),
    }
    assert "`ui/ui.go` embeds `dist`" in refused(tree, toolchains=EVERYTHING).message
    assert brought({**tree, "ui/package.json": package()}) == ["ui/dist"]


CARGO = '[package]\nname = "shop"\nversion = "1.0.0"\nedition = "2021"\n\n[dependencies]\n{} = "8"\n'


def rust(source: str, crate: str = "rust-embed", **files: str) -> dict[str, str]:
    return {"Cargo.toml": CARGO.format(crate), "src/main.rs": f"{source}\nfn main() {{}}\n", **files}


@pytest.mark.parametrize(
    ("source", "crate"),
    [
        ('#[derive(RustEmbed)]\n#[folder = "web/dist/"]\nstruct Pages;', "rust-embed"),
        ('#[derive(Embed)]\n#[folder="$CARGO_MANIFEST_DIR/web/dist"]\nstruct Pages;', "rust-embed"),
        ('static PAGES: Dir = include_dir!("$CARGO_MANIFEST_DIR/web/dist");', "include_dir"),
    ],
)
def test_the_folder_that_a_rust_program_embeds_is_made(source: str, crate: str) -> None:
    tree = rust(source, crate)
    assert brought({**tree, "web/package.json": package()}) == ["web/dist"]
    assert brought({**tree, "web/package.json": package(), "web/dist/app.js": ""}) == []
    failure = refused(tree, toolchains=EVERYTHING)
    assert (
        failure.message.startswith("`src/main.rs` embeds the folder `")
        and "Commit `web/dist`" in failure.hint
    )
    assert planned({**tree, "build.rs": ""}, toolchains=EVERYTHING).runtime == "rust"
    assert planned({**tree, "web/dist/a.txt": ""}, toolchains=EVERYTHING).runtime == "rust"


def test_a_rust_package_of_a_workspace_embeds_what_is_beside_it() -> None:
    tree = {
        "Cargo.toml": '[workspace]\nmembers = ["server", "assets"]\n',
        "server/Cargo.toml": CARGO.format("axum"),
        "server/src/main.rs": "fn main() {}\n",
        "assets/Cargo.toml": CARGO.format("rust-embed").replace("shop", "assets"),
        "assets/src/lib.rs": '#[folder = "../ui/dist"]\nstruct Pages;\n',
    }
    assert brought({**tree, "ui/package.json": package()}) == ["ui/dist"]
    assert brought(tree) == []  # it may not be part of the program


@pytest.mark.parametrize(
    ("outputs", "place", "expected"),
    [
        ("a/b", "a/b", True),
        ("a", "a/b", True),
        ("a/b", "a", True),
        ("a/b", "a/bc", False),
        ("a/b", "c", False),
    ],
)
def test_what_concerns_a_place(outputs: str, place: str, expected: bool) -> None:
    assert overlaps(outputs, place) is expected


def test_a_program_of_many_packages_is_read_up_to_a_limit() -> None:
    """What is beyond is the compiler's to say, as a plan may read so many files only."""
    packages = {f"p{number}/p.go": f"package p{number}\n" for number in range(1_100)}
    imports = "".join(f'import "example.com/shop/p{number}"\n' for number in range(1_100))
    tree = {"go.mod": MOD, "main.go": f"package main\n\n{imports}", **packages}
    assert planned({**tree, "p1099/p.go": WEB.format("dist")}, toolchains=EVERYTHING).runtime == "go"
    assert (
        "`p1/p.go` embeds" in refused({**tree, "p1/p.go": WEB.format("dist")}, toolchains=EVERYTHING).message
    )
