"""Hugo, Jekyll, mkdocs and Zola: what builds the pages, and where they end up."""

from __future__ import annotations

import pytest

from stackyn_server.buildplan.versions.toolchains import ToolBaseImages, Toolchains
from tests.unit.buildplan.test_plan import FLASK
from tests.unit.buildplan.trees import EVERYTHING, Tree, lines, planned, refused, step

HUGO = {"hugo.toml": "baseURL = 'https://example.com/'\n", "content/a.md": ""}
ZOLA = {"config.toml": 'base_url = "https://example.com"\n', "content/a.md": "", "templates/index.html": ""}
JEKYLL = {"_config.yml": "title: Shop\n", "_posts/2025-01-01-a.md": ""}
MKDOCS = {"mkdocs.yml": "site_name: Shop\n", "docs/index.md": ""}


@pytest.mark.parametrize(
    ("tree", "runtime", "build", "folder"),
    [
        (HUGO, "hugo", "hugo --minify", "public"),
        (
            {"config.toml": "baseURL = 'x'\n", "content/a.md": "", "themes/t/theme.toml": ""},
            "hugo",
            "hugo ",
            "public",
        ),
        ({"config/_default/hugo.yaml": "baseURL: x\n", "content/a.md": ""}, "hugo", "hugo ", "public"),
        ({"config/_default/config.toml": "baseURL = 'x'\n", "content/a.md": ""}, "hugo", "hugo ", "public"),
        ({**HUGO, "hugo.toml": "publishDir = 'pages'\n"}, "hugo", "hugo ", "pages"),
        (ZOLA, "zola", "zola build", "public"),
        ({**ZOLA, "config.toml": 'base_url = "x"\noutput_dir = "html"\n'}, "zola", "zola build", "html"),
        (JEKYLL, "jekyll", "jekyll build", "_site"),
        ({**JEKYLL, "Gemfile": 'gem "jekyll"'}, "jekyll", "bundle exec jekyll build", "_site"),
        ({**JEKYLL, "_config.yml": "destination: ./public\n"}, "jekyll", "jekyll build", "public"),
        (MKDOCS, "mkdocs", "mkdocs build", "site"),
        ({**MKDOCS, "mkdocs.yml": "site_dir: html\n"}, "mkdocs", "mkdocs build", "html"),
        ({**MKDOCS, "requirements.txt": "mkdocs-material"}, "mkdocs", "mkdocs build", "site"),
    ],
)
def test_the_pages_are_built_and_served(tree: Tree, runtime: str, build: str, folder: str) -> None:
    plan = planned(tree, toolchains=EVERYTHING)
    assert plan.runtime == runtime
    assert build in step(plan, build) and f"COPY --from=build /app/{folder}/ /srv/site/" in lines(plan)
    assert "ENV SINGLE_PAGE=1" not in lines(plan) and not any(line.startswith("CMD") for line in lines(plan))


def test_documentation_beside_a_program_is_not_the_app() -> None:
    go = {"go.mod": "module x\n\ngo 1.24\n", "main.go": "package main\n\nfunc main() {}\n"}
    assert planned({**MKDOCS, **go}, toolchains=EVERYTHING).runtime == "go"


def test_mkdocs_gets_its_theme() -> None:
    plan = planned({**MKDOCS, "mkdocs.yml": "theme:\n  name: material\n"}, toolchains=EVERYTHING)
    assert step(plan, "pip install").endswith("mkdocs-material")


@pytest.mark.parametrize(
    ("files", "packages"),
    [
        ({"docs/requirements.txt": ""}, "-r docs/requirements.txt mkdocs mkdocs-redirects"),
        ({"setup.py": ""}, ". mkdocs mkdocs-redirects"),
        (
            {"pyproject.toml": "[build-system]\n[project.optional-dependencies]\ndocs=['a']\n"},
            "'.[docs]' mkdocs mkdocs-redirects",
        ),
        (
            {
                "pyproject.toml": "[project]\nname='a'\n[dependency-groups]\ndocs=['b>=1', {include-group='c'}]\n"
            },
            "'b>=1' mkdocs mkdocs-redirects",
        ),
    ],
)
def test_mkdocs_gets_what_its_pages_need(files: Tree, packages: str) -> None:
    tree = {
        **MKDOCS,
        "mkdocs.yml": "plugins:\n  - redirects:\n",
        **files,
        "stackyn.toml": 'runtime = "mkdocs"\n',
    }
    plan = planned(tree, toolchains=EVERYTHING)
    assert step(plan, "pip install").endswith(f"--no-cache-dir {packages}")


def test_documentation_beside_a_program_is_not_what_is_served() -> None:
    tree = {**MKDOCS, "app.py": FLASK, "requirements.txt": "gunicorn\nflask"}
    assert planned(tree, toolchains=EVERYTHING).runtime == "python"


def test_a_start_command_wins_over_the_pages() -> None:
    tree = {**HUGO, "main.go": "package main\n", "go.mod": "module a\n"}
    assert planned(tree, toolchains=EVERYTHING, start_command="bin/a").runtime == "go"


def test_a_configuration_of_something_else_is_no_site() -> None:
    tree = {"config.toml": "debug = true\n", "index.html": ""}
    assert planned(tree, toolchains=EVERYTHING).runtime == "static"


@pytest.mark.parametrize(
    ("tree", "runtime"),
    [
        ({"config.toml": "title = 'x'\n", "content/a.md": ""}, "hugo"),
        ({"_config.yml": "title: x\n", "pages/a.md": ""}, "Jekyll"),
        ({**MKDOCS, "app.py": FLASK, "requirements.txt": "flask\n"}, "mkdocs"),
        (ZOLA, "zola"),
    ],
)
def test_a_generator_that_is_named_is_used(tree: Tree, runtime: str) -> None:
    tree = {**tree, "stackyn.toml": f'runtime = "{runtime}"\n'}
    assert planned(tree, toolchains=EVERYTHING).runtime == runtime.lower()


def test_the_version_of_the_generator_can_be_set() -> None:
    plan = planned(
        {**HUGO, "stackyn.toml": 'runtime = "hugo"\nruntime_version = "0.150"\n'},
        toolchains=Toolchains(
            {**EVERYTHING.tools, "hugo": ToolBaseImages("stackyn/hugo", ("0.150", "0.168"), "0.168")}
        ),
    )
    assert "FROM stackyn/hugo:0.150 AS build" in lines(plan)


def test_a_folder_of_hugos_settings_is_no_project() -> None:
    tree = {"web/package.json": '{"scripts": {"start": "node a"}}', "site/config/production/hugo.toml": ""}
    assert "config/production" not in refused(tree, toolchains=EVERYTHING).hint
