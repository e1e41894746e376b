"""What the documents point to is there: a claim without its test, or a moved file, is noticed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["README.md", "SECURITY.md", "CONTRIBUTING.md"])
def test_every_link_leads_to_a_file(name: str) -> None:
    text = (REPOSITORY / name).read_text("utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert [link for link in links if not (REPOSITORY / link).exists()] == []


def test_every_threat_that_is_defended_names_a_test() -> None:
    text = (REPOSITORY / "SECURITY.md").read_text("utf-8")
    table = text.partition("## What is defended, and how")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert rows
    assert [row for row in rows if "](tests/" not in row] == []
