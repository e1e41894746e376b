"""Relative and SSH addresses of submodules as git resolves them."""

from __future__ import annotations

import pytest

from stackyn_server.source.repository_url import RepositoryUrl, split_browser_url
from stackyn_server.source.submodules import absolute_url

BASE = RepositoryUrl("https", "host.test", 443, "/team/app.git")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("../lib.git", "https://host.test/team/lib.git"),
        ("../../other/lib", "https://host.test/other/lib"),
        ("./lib", "https://host.test/team/app.git/lib"),
        ("../../../../lib", "https://host.test/lib"),
        ("git@host.test:team/lib.git", "https://host.test/team/lib.git"),
        ("ssh://git@host.test/team/lib.git", "https://host.test/team/lib.git"),
        ("ssh://git@host.test:2222/team/lib.git", "https://host.test/team/lib.git"),
        ("https://elsewhere.test/x/y.git", "https://elsewhere.test/x/y.git"),
        ("file:///etc", "file:///etc"),  # refused by the check that follows
    ],
)
def test_submodule_address_is_absolute(url: str, expected: str) -> None:
    assert absolute_url(BASE, url) == expected


@pytest.mark.parametrize(
    ("text", "repository", "branch", "folder"),
    [
        ("https://github.test/a/b/tree/main/web", "https://github.test/a/b", "main", "web"),
        ("https://github.test/a/b/tree/v1.2", "https://github.test/a/b", "v1.2", ""),
        (
            "https://github.test/a/b/tree/main/apps/web/?tab=readme",
            "https://github.test/a/b",
            "main",
            "apps/web",
        ),
        ("https://gitlab.test/g/s/b/-/tree/main/web", "https://gitlab.test/g/s/b", "main", "web"),
        ("https://gitea.test/a/b/src/branch/main/web", "https://gitea.test/a/b", "main", "web"),
        ("https://bitbucket.test/a/b/src/main/web", "https://bitbucket.test/a/b", "main", "web"),
        ("https://github.test/a/b.git", "https://github.test/a/b.git", "", ""),
        ("https://github.test/tree/main", "https://github.test/tree/main", "", ""),
    ],
)
def test_address_of_a_page_is_taken_apart(text: str, repository: str, branch: str, folder: str) -> None:
    parts = split_browser_url(text)
    assert (parts.repository, parts.branch, parts.folder) == (repository, branch, folder)
