"""Sites of plain files."""

from __future__ import annotations

import pytest

from tests.unit.buildplan.trees import EVERYTHING, Tree, lines, planned, refused


@pytest.mark.parametrize(
    ("tree", "copied"),
    [
        ({"index.html": "", "public/index.html": ""}, "COPY . /srv/site/"),
        ({"public/index.html": "", "README.md": ""}, "COPY public/ /srv/site/"),
        ({"dist/index.html": "", "docs/index.html": ""}, "COPY dist/ /srv/site/"),
        ({"site/index.html": ""}, "COPY site/ /srv/site/"),
    ],
)
def test_the_folder_with_the_index_is_served(tree: Tree, copied: str) -> None:
    plan = planned(tree)
    assert plan.runtime == "static"
    assert copied in (plan.generated or "").splitlines()


def test_the_static_image_keeps_its_own_user_and_command() -> None:
    generated = planned({"index.html": ""}, port=9000).generated or ""
    assert "CMD" not in generated and "\nUSER" not in generated
    assert "ENV PORT=9000" in generated.splitlines()


def test_a_start_command_that_is_not_run_is_mentioned() -> None:
    plan = planned({"index.html": "", "Procfile": "web: python -m http.server $PORT"})
    assert "It is not run" in plan.reasons[-1]


def test_secrets_and_repository_files_are_not_published() -> None:
    assert {"**/.env*", "**/.git*"} <= set(planned({"index.html": ""}).ignore)


@pytest.mark.parametrize(
    ("manifest", "language"),
    [
        ("Package.swift", "Swift"),
        ("pubspec.yaml", "Dart"),
        ("build.sbt", "Scala"),
        ("gleam.toml", "Gleam"),
        ("shop.cabal", "Haskell"),
        ("stack.yaml", "Haskell"),
        ("cpanfile", "Perl"),
        ("project.clj", "Clojure"),
    ],
)
@pytest.mark.parametrize("page", ["index.html", "public/index.html"])
def test_sources_beside_a_page_are_never_served(manifest: str, language: str, page: str) -> None:
    failure = refused({page: "", manifest: "", "secret.json": ""}, toolchains=EVERYTHING)
    assert language in failure.message and "Dockerfile" in failure.hint


@pytest.mark.parametrize(
    ("tree", "language"),
    [
        ({"go.mod": "module a\n", "store.go": "package store\n"}, "Go"),
        ({"Cargo.toml": '[package]\nname = "a"\n', "src/lib.rs": ""}, "Rust"),
        ({"pom.xml": "<project/>"}, "Java"),
        ({"composer.json": "{}"}, "PHP"),
        ({"Gemfile": ""}, "Ruby"),
        ({"Core.csproj": '<Project Sdk="Microsoft.NET.Sdk"/>'}, ".NET"),
        ({"mix.exs": ""}, "Elixir"),
        ({"requirements.txt": "ansible"}, "Python"),
    ],
)
def test_a_language_that_can_be_built_is_named_too(tree: Tree, language: str) -> None:
    assert language in refused({"index.html": "", **tree}, toolchains=EVERYTHING).message


@pytest.mark.parametrize(
    ("files", "is_single_page"),
    [
        ({}, False),
        ({"Staticfile": "index_fallback: true\n"}, True),
        ({"Staticfile": "pushstate: enabled\n"}, True),
        ({"Staticfile": "index_fallback: false\n"}, False),
        ({"netlify.toml": '[[redirects]]\nfrom = "/*"\nto = "/index.html"\nstatus = 200\n'}, True),
        ({"netlify.toml": '[[redirects]]\nfrom = "/*"\nto = "/index.html"\nstatus = 404\n'}, False),
        ({"vercel.json": '{"rewrites": [{"source": "/(.*)", "destination": "/index.html"}]}'}, True),
        ({"vercel.json": '{"rewrites": [{"source": "/api/(.*)", "destination": "/x"}]}'}, False),
    ],
)
def test_unknown_paths_show_the_home_page_only_when_asked_for(files: Tree, is_single_page: bool) -> None:
    plan = planned({"index.html": "", **files})
    assert ("ENV SINGLE_PAGE=1" in lines(plan)) is is_single_page


def test_the_staticfile_names_the_folder() -> None:
    plan = planned({"hello/index.html": "", "Staticfile": "root: hello\n"})
    assert "COPY hello/ /srv/site/" in lines(plan) and plan.copies == ("hello",)


def test_a_folder_that_is_not_there_is_refused() -> None:
    assert "pages" in refused({"index.html": ""}, publish_directory="pages").message
    plan = planned({"index.html": "", "netlify.toml": '[build]\npublish = "pages"\n'})
    assert "COPY . /srv/site/" in lines(plan), "what only another host's build makes"


def test_scripts_that_no_browser_reads_are_not_published() -> None:
    tree = {
        "index.html": "<script type=py src=page.py>",
        "page.py": "",
        "my tool.py": "",
        "api/hello.py": "",
        "a.js": "",
    }
    plan = planned(tree)
    assert set(plan.ignore) >= {"my?tool.py", "api/hello.py"}
    assert not {"page.py", "a.js"} & set(plan.ignore)
    assert "No pages, and not served: api/hello.py, my tool.py." in plan.reasons


def test_a_page_that_a_tool_has_to_build_is_not_served_as_it_is() -> None:
    page = '<script type="module" src="/src/main.tsx"></script>'
    failure = refused({"index.html": page, "package.json": '{"private": true}', "src/main.tsx": ""})
    assert "`/src/main.tsx`, which no browser reads" in failure.message and "`build` script" in failure.hint


def test_a_page_that_is_translated_in_the_browser_is_served() -> None:
    page = '<script src="babel.min.js"></script><script type="text/babel" src="app.jsx"></script>'
    assert planned({"index.html": page, "app.jsx": ""}).runtime == "static"


@pytest.mark.parametrize(
    ("vercel", "is_single"),
    [
        ('{"rewrites": [{"source": "/:path*", "destination": "/index.html"}]}', True),
        ('{"routes": [{"handle": "filesystem"}, {"src": "/(.*)", "dest": "/index.html"}]}', True),
        ('{"rewrites": [{"source": "/api/(.*)", "destination": "/index.html"}]}', False),
        ('{"routes": [{"src": "/(.*)", "dest": "/api/index.js"}]}', False),
    ],
)
def test_vercels_rules_for_every_path_make_a_single_page(vercel: str, is_single: bool) -> None:
    assert ("ENV SINGLE_PAGE=1" in lines(planned({"index.html": "", "vercel.json": vercel}))) is is_single


@pytest.mark.parametrize(
    "settings", [{"runtime": "static"}, {"runtime": "static", "publish_directory": "dist"}]
)
def test_a_folder_that_the_owner_names_is_served_beside_sources(settings: dict[str, str]) -> None:
    tree = {"Cargo.toml": "[package]", "src/main.rs": "", "dist/index.html": ""}
    assert "COPY dist/ /srv/site/" in lines(planned(tree, toolchains=EVERYTHING, **settings))
