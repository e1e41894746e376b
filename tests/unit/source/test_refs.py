"""Which commit a branch setting means."""

from __future__ import annotations

import pytest

from stackyn_server.source.refs import Revision, parse_ls_remote, resolve

A, B, C = "a" * 40, "b" * 40, "c" * 40


def listing(*lines: str) -> str:
    return "".join(f"{line.replace(' ', chr(9), 1)}\n" for line in lines)


REPOSITORY = listing(
    f"{A} HEAD", f"{A} refs/heads/trunk", f"{B} refs/heads/v1",
    f"{C} refs/tags/v1", f"{B} refs/tags/v2", f"{C} refs/tags/v2^{{}}",
)  # fmt: skip


@pytest.mark.parametrize(
    ("advertised", "setting", "commit", "ref", "branch"),
    [
        (REPOSITORY, "trunk", A, "refs/heads/trunk", "trunk"),
        (REPOSITORY, "v1", B, "refs/heads/v1", "v1"),  # a branch wins over a tag
        (REPOSITORY, "v2", C, "refs/tags/v2", "v2"),  # the commit, not the tag object
        (REPOSITORY, C, C, None, C),
        (f"ref: refs/heads/trunk\tHEAD\n{REPOSITORY}", "HEAD", A, "HEAD", "trunk"),
        (REPOSITORY, "HEAD", A, "HEAD", "trunk"),  # a server that names no symbolic reference
        (listing(f"{B} refs/heads/master"), "HEAD", B, "refs/heads/master", "master"),
        (listing(f"{A} refs/heads/x", f"{B} refs/heads/master"), "HEAD", B, "refs/heads/master", "master"),
        (listing(f"{B} refs/heads/master"), "main", B, "refs/heads/master", "main"),
    ],
)
def test_branch_setting_leads_to_a_commit(
    advertised: str, setting: str, commit: str, ref: str | None, branch: str
) -> None:
    revision = resolve(parse_ls_remote(advertised), setting)
    assert revision is not None
    assert (revision.commit, revision.ref, revision.branch) == (commit, ref, branch)


@pytest.mark.parametrize(
    ("advertised", "setting"),
    [
        (REPOSITORY, "main"),  # two branches: none is meant
        (listing(f"{B} refs/heads/master"), "master2"),
        (listing(f"{B} refs/heads/master"), "develop"),  # typed by somebody
        (listing(f"{A} refs/heads/x", f"{B} refs/heads/y"), "HEAD"),
        (REPOSITORY, "a" * 12),
        ("", "HEAD"),
    ],
)
def test_missing_branch_is_not_guessed(advertised: str, setting: str) -> None:
    assert resolve(parse_ls_remote(advertised), setting) is None


def test_only_branch_in_place_of_main_is_said() -> None:
    revision = resolve(parse_ls_remote(listing(f"{B} refs/heads/master")), "main")
    assert revision == Revision(
        B,
        "refs/heads/master",
        "main",
        "The repository has no branch main: its only branch, master, is deployed.",
    )
