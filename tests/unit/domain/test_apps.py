"""Names, slugs, branches, variables: what is accepted and what is refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackyn_server.domain import apps
from stackyn_server.domain.ids import parse_id
from stackyn_server.errors import InvalidRequest


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("My App", "my-app"),
        ("  Ünïcode!!Shop  ", "n-code-shop"),
        ("a" * 80, "a" * 63),
        ("--", ""),
        ("x" * 62 + " y", "x" * 62),
    ],
)
def test_a_slug_is_derived_as_the_console_does(name: str, slug: str) -> None:
    assert apps.slug_from_name(name) == slug


@given(st.text(max_size=120))
def test_a_derived_slug_is_valid_or_empty(name: str) -> None:
    slug = apps.slug_from_name(name)
    assert slug == "" or apps.valid_slug(slug) == slug


@given(
    st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True),
    st.from_regex(r"[0-9a-f]{6}", fullmatch=True),
)
def test_a_slug_with_a_suffix_is_valid_too(slug: str, suffix: str) -> None:
    assert apps.valid_slug(apps.with_suffix(slug, suffix)).endswith(f"-{suffix}")


@pytest.mark.parametrize("slug", ["", "-a", "a-", "A", "a_b", "a" * 64, "a.b", "ä", "a\n"])
def test_a_malformed_slug_is_refused(slug: str) -> None:
    with pytest.raises(InvalidRequest):
        apps.valid_slug(slug)


@pytest.mark.parametrize("branch", ["main", "feature/x", "release-1.2", "v1", "a@b", "ü"])
def test_a_branch_that_git_accepts_is_accepted(branch: str) -> None:
    assert apps.valid_branch(branch) == branch


@pytest.mark.parametrize(
    "branch",
    [
        *(
            "",
            "-x",
            "a..b",
            "a b",
            "a~1",
            "a:b",
            "a^",
            "a?",
            "a*",
            "[a",
            "a\\b",
            "/a",
            "a/",
            "a.lock",
            "a@{1}",
            "@",
        ),
        *(".a", "a/.b", "a//b", "a\x00", "x" * 256, "a."),
    ],
)
def test_a_branch_that_git_refuses_is_refused(branch: str) -> None:
    with pytest.raises(InvalidRequest):
        apps.valid_branch(branch)


@pytest.mark.parametrize("key", ["", "1A", "A-B", "A B", "Ä", "A=B", "A" * 256, "A\n"])
def test_a_bad_variable_key_is_refused(key: str) -> None:
    with pytest.raises(InvalidRequest):
        apps.valid_variable(key, "")


@pytest.mark.parametrize("value", ["a\x00b", "x" * 65_537, "ü" * 32_769])
def test_a_value_that_does_not_fit_is_refused(value: str) -> None:
    with pytest.raises(InvalidRequest):
        apps.valid_variable("KEY", value)


@pytest.mark.parametrize(
    ("given", "stored"),
    [("./web", "web"), ("web/./app/", "web/app"), (".", ""), ("./", ""), (".web", ".web")],
)
def test_a_path_may_begin_at_the_folder_itself(given: str, stored: str) -> None:
    assert apps.valid_path_inside(given, "root_directory") == stored


@pytest.mark.parametrize("path", ["../x", "a/../b", "a//b", "./../a", "a\nb"])
def test_a_path_that_leaves_the_repository_is_refused(path: str) -> None:
    with pytest.raises(InvalidRequest):
        apps.valid_path_inside(path, "root_directory")


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "01", "1.0", " 1", "१", "9223372036854775808", "1" * 30, "abc"]
)
def test_what_is_not_an_id_is_not_an_id(text: str) -> None:
    assert parse_id(text) is None


def test_the_largest_id_is_one() -> None:
    assert parse_id("9223372036854775807") == 2**63 - 1


def test_error_sentences_do_not_hold_words_that_clients_act_on() -> None:
    for make in (lambda: apps.valid_slug("-"), lambda: apps.valid_branch(""), lambda: apps.valid_name("")):
        with pytest.raises(InvalidRequest) as caught:
            make()
        assert not re.search("401|unauthorized", caught.value.message, re.IGNORECASE)
