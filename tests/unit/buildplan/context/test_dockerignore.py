"""Docker's ignore rules: a table seen with Docker's own client, and the automaton against its regular expressions."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackyn_server.buildplan.context.dockerignore import IgnoreRules, parse


@pytest.mark.parametrize(
    ("patterns", "left_out", "sent"),
    [
        ("node_modules", ["node_modules", "node_modules/a/b.js"], ["src/node_modules/a", "node_modules2"]),
        ("/build/", ["build", "build/x"], ["src/build"]),
        ("*.md", ["a.md", "b.md/c"], ["docs/a.md", "a.mdx"]),
        ("**/*.md", ["a.md", "docs/a.md", "docs/deep/a.md"], ["a.txt"]),
        ("*/temp*", ["a/temporary.txt", "a/temp/x"], ["temp", "a/b/temp"]),
        ("*/*/temp*", ["a/b/temporary"], ["a/temp"]),
        ("temp?", ["tempa", "tempb/x"], ["temp", "tempab", "temp/"]),
        ("**", ["a", "a/b"], []),
        ("*\n!keep.txt", ["a", "b/keep.txt"], ["keep.txt"]),
        ("*\n!src/app.py", ["src/b.py", "x"], ["src/app.py"]),
        ("src\n!src/app.py\nsrc/app.py", ["src/app.py"], []),
        ("!a\na", ["a"], []),
        ("docs/**", ["docs/a", "docs/a/b"], ["docs"]),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["a/b", "z"]),
        ("**/z", ["z", "a/z", "a/b/z"], ["az"]),
        ("a**/z", ["az", "axx/z", "a/b/z"], ["b/z"]),
        ("[a-c].txt", ["a.txt", "b.txt"], ["d.txt", "[a-c].txt"]),
        ("[^a].txt", ["b.txt"], ["a.txt"]),
        ("\\*.txt", ["*.txt"], ["a.txt"]),
        ("# comment\n\n  spaced  ", ["spaced"], ["# comment"]),
        ("./a/../b", ["b"], ["a"]),
        (".git*", [".git", ".gitignore", ".git/config"], ["a/.git"]),
        ("[", ["["], ["a"]),
        ("a.c+(d)", ["a.c+(d)"], ["abc+(d)", "a.ccd"]),
    ],
)
def test_files_are_left_out_as_by_docker(patterns: str, left_out: list[str], sent: list[str]) -> None:
    ignore = IgnoreRules(parse(patterns))
    assert [path for path in left_out if not ignore.excludes(path)] == [], "should be left out"
    assert [path for path in sent if ignore.excludes(path)] == [], "should be sent"


def test_no_patterns_leave_nothing_out() -> None:
    assert not IgnoreRules(parse("# nothing\n\n!\n")).excludes("a")


def as_docker(pattern: str) -> re.Pattern[str]:
    """moby/patternmatcher's translation of a pattern to a regular expression."""
    expression, position = "", 0
    while position < len(pattern):
        if pattern.startswith("**", position):
            position += 2 + pattern.startswith("/", position + 2)
            expression += ".*" if position == len(pattern) else "(.*/)?"
            continue
        character = pattern[position]
        expression += {"*": "[^/]*", "?": "[^/]"}.get(character, re.escape(character))
        position += 1
    return re.compile(expression)


def docker_excludes(patterns: list[str], path: str) -> bool:
    members = path.split("/")
    parents = ["/".join(members[: count + 1]) for count in range(len(members))]
    excluded = False
    for pattern in patterns:
        text = pattern.removeprefix("!")
        if any(as_docker(text).fullmatch(parent) for parent in parents):
            excluded = not pattern.startswith("!")
    return excluded


names = st.text("ab.", min_size=1, max_size=3).filter(lambda name: name.strip("."))
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
parts = st.sampled_from(["**", "*", "a*", "*b", "?", "a", "b", "ab", "a?b", "**a", "a**", "a**b"])
texts = st.lists(parts, min_size=1, max_size=4).map("/".join)
patterns = st.lists(
    st.builds(lambda text, back: "!" + text if back else text, texts, st.booleans()), max_size=4
)


@given(patterns, paths)
def test_the_automaton_decides_as_dockers_regular_expressions(given_patterns: list[str], path: str) -> None:
    assert IgnoreRules(tuple(given_patterns)).excludes(path) == docker_excludes(given_patterns, path)


@pytest.mark.timeout(10)
def test_a_hostile_pattern_costs_no_more_than_a_plain_one() -> None:
    hostile = "/".join(["**/a*a*a*a*a*"] * 40) + "/z"
    path = "/".join(["a" * 250] * 8)
    assert not IgnoreRules((hostile,)).excludes(path)
