"""Sites of plain files."""

from __future__ import annotations

import pytest

from tests.unit.buildplan.trees import Tree, planned


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


def test_secrets_and_repository_files_are_not_published() -> None:
    assert {"**/.env*", "**/.git*"} <= set(planned({"index.html": ""}).ignore)
