"""What the documents point to is there: a claim without its test, or a moved file, is noticed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
HOSTILE_BUILDS = REPOSITORY / "tests/engine/hostile_builds"
HOSTILE = REPOSITORY / "tests/hostile"


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "SECURITY.md",
        "CONTRIBUTING.md",
        "tests/README.md",
        "tests/engine/hostile_builds/README.md",
        "tests/hostile/README.md",
        *(f"docs/{document.name}" for document in (REPOSITORY / "docs").glob("*.md")),
    ],
)
def test_every_link_leads_to_a_file(name: str) -> None:
    document = REPOSITORY / name
    links = re.findall(r"\]\(([^)#]+)\)", document.read_text("utf-8"))
    assert [link for link in links if "://" not in link and not (document.parent / link).exists()] == []


def test_the_readme_stays_a_front_door() -> None:
    assert len((REPOSITORY / "README.md").read_text("utf-8").splitlines()) <= 120


def test_every_threat_that_is_defended_names_a_test() -> None:
    text = (REPOSITORY / "SECURITY.md").read_text("utf-8")
    table = text.partition("## What is defended, and how")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and line != "| Promise | Shown by |"]
    assert rows
    assert [row for row in rows if "](tests/" not in row] == []


def test_every_attack_of_a_hostile_build_names_its_tests() -> None:
    text = (HOSTILE_BUILDS / "README.md").read_text("utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    assert rows
    for attack, shown_by, _ in rows:
        tests = re.findall(r"`([\w./]+\.py)::(\w+)(?:\[([^]]+)\])?`", shown_by)
        assert tests, attack
        for file, name, case in tests:
            module = ast.parse((HOSTILE_BUILDS / file).read_text("utf-8"))
            functions = (ast.FunctionDef, ast.AsyncFunctionDef)
            assert name in [node.name for node in module.body if isinstance(node, functions)], name
            words = [node.value for node in ast.walk(module) if isinstance(node, ast.Constant)]
            assert not case or case in words, f"{name}[{case}]"


def test_every_test_of_hostile_builds_is_in_the_table() -> None:
    text = (HOSTILE_BUILDS / "README.md").read_text("utf-8")
    there = {
        f"{file.name}::{name}"
        for file in HOSTILE_BUILDS.glob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text("utf-8"), re.MULTILINE)
    }
    assert there
    assert [name for name in there if f"`{name}" not in text] == []


def test_every_finding_names_attempts_that_are_tried() -> None:
    text = (HOSTILE / "README.md").read_text("utf-8").partition("## The findings")[2]
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    assert rows
    for finding, tried_by in rows:
        tables = [HOSTILE / name for name in re.findall(r"`([\w/]+\.py)`", tried_by)]
        assert tables or "](" in tried_by, finding
        words = "".join(table.read_text("utf-8") for table in tables)
        phrases = [part.strip() for quoted in re.findall('"([^"]+)"', tried_by) for part in quoted.split("…")]
        assert [phrase for phrase in phrases if phrase not in words] == [], finding
