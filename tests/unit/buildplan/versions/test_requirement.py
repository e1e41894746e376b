"""Version requirements of every dialect, and what is taken of what is at hand."""

from __future__ import annotations

import pytest

from stackyn_server.buildplan.versions.requirement import Dialect, choose, parse_requirement
from stackyn_server.buildplan.versions.version_files import version_in_file, version_in_tool_files
from tests.patience import patient, processor_seconds

NODES = ("18", "20", "22", "24", "25")
PYTHONS = ("3.11", "3.13", "3.14")
HOSTILE = (" " * 199, ">" * 199, "1." * 99, "~=" * 90, "|" * 199, "1 " * 99, "x." * 99)


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("20", "20"),
        ("v20.11.1", "20"),
        ("20.x", "20"),
        ("^20", "20"),
        ("~20.1", "20"),
        ("^20.19.0 || >=22.12.0", "22"),
        ("^18 || ^20", "20"),
        (">=18", "22"),
        (">=23", "25"),
        (">= 18.0.0 < 21", "20"),
        (">=18 <=20", "20"),
        ("18 - 20", "20"),
        ("<20", "18"),
        (">24", "25"),
        ("lts/*", "22"),
        ("lts/iron", "20"),
        ("lts/Jod", "22"),
        ("lts/-1", "22"),
        ("lts/-2", "20"),
        ("lts/nobody", None),
        ("lts/-30", None),
        ("iojs", None),
        ("node", "25"),
        ("latest", "25"),
        ("*", "22"),
        ("x", "22"),
        ("", "22"),
        ("=20.5.0", "20"),
        ("16", None),
        (">=26", None),
        ("^16.13", None),
    ],
)
def test_node_takes_what_engines_allow(text: str, chosen: str | None) -> None:
    requirement = parse_requirement(text, Dialect.NPM)
    assert requirement is not None
    assert choose(requirement, NODES, preferred="22") == chosen


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("3.13", "3.13"),
        ("3.13.1", "3.13"),
        ("python-3.11.9", "3.11"),
        (">=3.11", "3.13"),
        (">=3.11,<3.13", "3.11"),
        (">=3.11, <4", "3.13"),
        (">=3.14", "3.14"),
        ("^3.11", "3.13"),
        ("~3.11", "3.11"),
        ("~=3.11", "3.13"),
        ("~=3.11.2", "3.11"),
        ("==3.11.*", "3.11"),
        (">=3.9,!=3.13.*", "3.14"),
        (">=3.9,!=3.13.2", "3.13"),
        ("<=3.13", "3.11"),
        (">3.13", "3.13"),
        ("3.11 || 3.14", "3.14"),
        ("3.12", None),
        ("3.14t", None),
        ("pypy3.10", None),
        ("<3.11", None),
        ("==2.7.*", None),
    ],
)
def test_python_takes_what_requires_python_allows(text: str, chosen: str | None) -> None:
    requirement = parse_requirement(text, Dialect.PYTHON)
    assert requirement is not None
    assert choose(requirement, PYTHONS, preferred="3.13") == chosen


@pytest.mark.parametrize(
    ("text", "dialect", "available", "chosen"),
    [
        ("~8.1", Dialect.COMPOSER, ("8.0", "8.2", "8.4"), "8.4"),
        ("^8.1|^7.4", Dialect.COMPOSER, ("7.4", "8.2"), "8.2"),
        (">=8.1 <8.3", Dialect.COMPOSER, ("8.2", "8.4"), "8.2"),
        ("8.1.*", Dialect.COMPOSER, ("8.2",), None),
        ("~> 3.1", Dialect.RUBY, ("3.1", "3.3"), "3.3"),
        ("~> 3.1.2", Dialect.RUBY, ("3.1", "3.3"), "3.1"),
        ("ruby-3.3.4", Dialect.RUBY, ("3.1", "3.3"), "3.3"),
        (">=1.22.3", Dialect.NPM, ("1.21.0", "1.22.3", "1.25.1"), "1.25.1"),
        ("go1.22.3", Dialect.NPM, ("1.22.2", "1.22.3"), "1.22.3"),
        ("1.22.3", Dialect.NPM, ("1.22.2",), None),
        ("1.75", Dialect.NPM, ("1.63", "1.85"), None),
        ("^0.2.3", Dialect.NPM, ("0.2", "0.3"), "0.2"),
        ("17", Dialect.NPM, ("17", "21"), "17"),
        ("8.0.404", Dialect.NPM, ("8.0", "9.0"), "8.0"),
        ("21.0.4.1", Dialect.NPM, ("17", "21"), "21"),
    ],
)
def test_other_tools_have_their_own_operators(
    text: str, dialect: Dialect, available: tuple[str, ...], chosen: str | None
) -> None:
    requirement = parse_requirement(text, dialect)
    assert requirement is not None
    assert choose(requirement, available) == chosen


@pytest.mark.parametrize(
    "text", ["please use yarn", ">=", "unknown", "20; rm -rf /", "1" * 300, "a.b.c", "😀"]
)
def test_text_that_is_no_version_is_not_taken_for_one(text: str) -> None:
    assert parse_requirement(text) is None


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_requirement_is_no_endless_search(text: str) -> None:
    """The limit ends exponential backtracking; `tests/bench/buildplan` asserts the seconds."""
    assert processor_seconds(lambda: parse_requirement(text, Dialect.PYTHON)) < patient(1)


@pytest.mark.parametrize(
    ("text", "named"),
    [("20.11.1", "20.11.1"), ("~20.11.0", "20.11"), ("20.11", "20.11"), (">=20.11.2 <20.15", "20.11.2"),
     ("^20", None), (">=18", None), ("18 || 20", None)],
)  # fmt: skip
def test_a_narrow_requirement_names_one_version(text: str, named: str | None) -> None:
    requirement = parse_requirement(text)
    assert requirement is not None and requirement.narrowest == named


@pytest.mark.parametrize(
    ("files", "tool", "version"),
    [
        ({".tool-versions": "# mine\nnodejs 20.1.0 18\npython 3.12.4 # x\n"}, "node", "20.1.0"),
        ({".tool-versions": "nodejs 20\npython 3.12.4 # x\n"}, "python", "3.12.4"),
        ({".tool-versions": "golang 1.22\n"}, "go", "1.22"),
        ({".tool-versions": "ruby\n"}, "ruby", None),
        ({"mise.toml": "[tools]\npython = '3.12'\n"}, "python", "3.12"),
        ({"mise.toml": "[tools]\nnode = ['20', '22']\n"}, "node", "20"),
        ({"mise.toml": "[tools]\n'core:node' = {version = '20'}\n"}, "node", "20"),
        ({".mise.toml": "[tools]\npython = 3.12\n"}, "python", "3.12"),
        ({"mise.toml": "[tools]\nnode = 'latest'", ".tool-versions": "nodejs 18"}, "node", "latest"),
        (
            {"mise.toml": "[tools]\nuv = 'latest'", "mise.lock": "[[tools.uv]]\nversion = '0.12.3'"},
            "uv",
            "0.12.3",
        ),
        ({"mise.toml": "[tools]\nuv = '1'", "mise.lock": "[tools.node]\nversion = '20.1.0'"}, "uv", "1"),
        ({"mise.toml": "[tools]\nruby = '3'", "mise.lock": "[[tools.ruby]]\nversion = '4.0.1'"}, "ruby", "3"),
        (
            {"mise.toml": "[tools]\nruby = '3'", "mise.lock": "[[tools.ruby]]\nversion = '3.2.1'"},
            "ruby",
            "3.2.1",
        ),
        ({"mise.toml": "not toml ["}, "node", None),
        ({"mise.toml": "tools = 3"}, "node", None),
        ({}, "node", None),
    ],
)
def test_tool_files_name_versions(files: dict[str, str], tool: str, version: str | None) -> None:
    asked = version_in_tool_files(files.get, tool, Dialect.NPM)
    assert (asked.requirement.text if asked else None) == version


def test_a_version_file_is_read_without_its_comments() -> None:
    asked = version_in_file("# pinned\n\n  3.12.4  # why\n", ".python-version", Dialect.PYTHON)
    assert asked is not None and (asked.requirement.text, asked.origin) == ("3.12.4", "`.python-version`")
    assert version_in_file("\n#\n", ".nvmrc", Dialect.NPM) is None


def test_a_later_name_of_node_tells_its_line_by_its_first_letter() -> None:
    requirement = parse_requirement("lts/later", Dialect.NPM)
    assert requirement is not None
    assert choose(requirement, ("24", "26", "28")) == "26"
