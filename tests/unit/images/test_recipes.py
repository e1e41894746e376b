"""An image is made anew when anything that goes into it changes, and only then."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest

from stackyn_server.images import recipes
from stackyn_server.images.recipes import RECIPES, ROOTS, NoSuchImage, digest_of, recipe_of

HOST = "settings of this host"


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
        ("node.Dockerfile", {"stackyn/node:22"}),
        ("node.lock", {"stackyn/node:22"}),
        ("site/usr/local/bin/serve-site", {"stackyn/static:1"}),
        # Node comes out of a package that Python's image installs.
        ("python.Dockerfile", {"stackyn/python:3.11", "stackyn/node:22"}),
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

    assert {recipe.below, *recipe.needs} <= {*RECIPES, *ROOTS}
    assert recipe.dockerfile(is_local=True).count(f"\nFROM {recipe.below}\n") + recipe.dockerfile(
        is_local=True
    ).startswith(f"FROM {recipe.below}\n")


@pytest.mark.parametrize("name", list(RECIPES))
def test_official_image_is_below_where_a_registry_answers(name: str) -> None:
    dockerfile = recipe_of(name).dockerfile(is_local=False)

    assert f"FROM {recipe_of(name).official}\n" in dockerfile
    assert "FROM stackyn/" not in dockerfile


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
