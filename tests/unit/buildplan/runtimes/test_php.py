"""PHP: what is served, by which version, with which packages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.buildplan.trees import EVERYTHING, Tree, command, lines, planned, refused, step


def composer(**required: str) -> str:
    return json.dumps(
        {"require": {name.replace("__", "/").replace("_", "-"): text for name, text in required.items()}}
    )


LARAVEL: dict[str, Any] = {
    "artisan": "",
    "public/index.php": "",
    "composer.json": composer(php="^8.2", laravel__framework="^12.0"),
    "composer.lock": "{}",
}


@pytest.mark.parametrize(
    ("tree", "folder"),
    [
        ({"index.php": ""}, "/app"),
        ({"index.php": "", "public/index.php": ""}, "/app/public"),
        ({"web/index.php": "", "composer.json": composer()}, "/app/web"),
        ({"webroot/index.php": "", "composer.json": composer()}, "/app/webroot"),
        (LARAVEL, "/app/public"),
        ({"index.php": "", "Procfile": "web: vendor/bin/heroku-php-apache2\n"}, "/app"),
        (
            {
                "web/a.php": "",
                "composer.json": composer(),
                "Procfile": "web: heroku-php-nginx -C n.conf web/",
            },
            "/app/web",
        ),
    ],
)
def test_the_folder_with_the_front_controller_is_served(tree: Tree, folder: str) -> None:
    plan = planned(tree, toolchains=EVERYTHING)
    assert plan.runtime == "php" and command(plan) == "exec serve-php"
    assert f"ENV DOCUMENT_ROOT={folder}" in lines(plan)


def test_laravel_gets_its_packages_and_its_folders() -> None:
    plan = planned(LARAVEL, toolchains=EVERYTHING)
    assert "composer install --no-dev" in step(plan, "composer")
    assert "storage/framework/views" in step(plan, "storage") and "ENV LOG_CHANNEL=stderr" in lines(plan)


def test_a_frontend_beside_it_is_built_with_node() -> None:
    package = json.dumps({"scripts": {"build": "vite build"}, "devDependencies": {"vite": "7"}})
    plan = planned({**LARAVEL, "package.json": package, "package-lock.json": "{}"}, toolchains=EVERYTHING)
    assert "COPY --from=assets --chown=app:app /app/public/ /app/public/" in lines(plan)
    assert any(line.startswith("FROM stackyn/node:") and line.endswith(" AS assets") for line in lines(plan))
    assert lines(plan)[-1] == 'CMD ["sh", "-c", "exec serve-php"]'


@pytest.mark.parametrize(
    ("tree", "command"),
    [
        ({"composer.json": composer(php="8.*")}, "composer dump-autoload"),
        ({"composer.json": composer(monolog__monolog="^3")}, "composer install"),
        ({"composer.json": composer(php="8.*"), "composer.lock": "{}"}, "composer install"),
    ],
)
def test_what_composer_is_asked_for(tree: Tree, command: str) -> None:
    assert command in step(planned({**tree, "index.php": ""}, toolchains=EVERYTHING), "composer")


def test_committed_packages_are_used_and_sent() -> None:
    tree = {"index.php": "", "composer.json": composer(a__b="1"), "vendor/autoload.php": ""}
    plan = planned(tree, toolchains=EVERYTHING)
    assert not any("composer" in line for line in lines(plan) if line.startswith("RUN"))
    assert "vendor" not in plan.ignore


@pytest.mark.parametrize(
    ("files", "version"),
    [
        ({}, "8.4"),
        ({"composer.json": composer(php="^8.2")}, "8.4"),
        ({"composer.json": composer(php="~8.2.0")}, "8.2"),
        ({"composer.json": composer(php=">=8.1 <8.3")}, "8.2"),
        ({".tool-versions": "php 8.2.20\n"}, "8.2"),
        ({".php-version": "8.2\n"}, "8.2"),
    ],
)
def test_the_version_is_read_from_the_project(files: Tree, version: str) -> None:
    plan = planned({"index.php": "", **files}, toolchains=EVERYTHING)
    assert f"FROM stackyn/php:{version}" in lines(plan)


def test_a_version_that_is_not_there_is_refused() -> None:
    failure = refused({"index.php": "", "composer.json": composer(php="^7.4")}, toolchains=EVERYTHING)
    assert failure.message == "`composer.json` asks for PHP ^7.4, and this server has PHP 8.2 and 8.4."


def test_an_extension_that_is_not_there_is_refused() -> None:
    failure = refused(
        {"index.php": "", "composer.json": composer(ext_swoole="*", ext_mbstring="*")}, toolchains=EVERYTHING
    )
    assert "swoole" in failure.message and "mbstring" not in failure.evidence


def test_a_library_is_refused() -> None:
    assert "no index.php" in refused({"composer.json": composer()}, toolchains=EVERYTHING).message


@pytest.mark.parametrize("script", ["contact.php", "forms/contact.php"])
def test_a_page_with_scripts_beside_it_is_served_by_php(script: str) -> None:
    """A web server of plain files would publish their source."""
    plan = planned({"index.html": "", script: "<?php mail();"}, toolchains=EVERYTHING)
    assert plan.runtime == "php" and script in plan.reasons[0]
    assert "ENV DOCUMENT_ROOT=/app" in (plan.generated or "").splitlines()


def test_a_php_script_beside_another_app_decides_nothing() -> None:
    tree = {"index.html": "", "tool.php": "", "package.json": '{"scripts": {"start": "node a.js"}}'}
    assert planned(tree, toolchains=EVERYTHING).runtime == "node"
