"""Poetry's dependencies as requirements for pip."""

from __future__ import annotations

import tomllib

import pytest

from stackyn_server.buildplan.runtimes.python.poetry import as_requirements


@pytest.mark.parametrize(
    ("line", "requirement"),
    [
        ('flask = "^3.0"', "flask>=3.0.0,<4.0.0"),
        ('flask = "~3.1"', "flask>=3.1.0,<3.2.0"),
        ('flask = "*"', "flask"),
        ('flask = ">=3,<4"', "flask>=3,<4"),
        ('flask = "3.0.3"', "flask>=3.0.3,<3.0.4"),
        ('flask = {version = "^3", extras = ["async"]}', "flask[async]>=3.0.0,<4.0.0"),
        ('flask = {git = "https://host.test/a.git", tag = "v1"}', "flask @ git+https://host.test/a.git@v1"),
        ('flask = {path = "lib/flask"}', "./lib/flask"),
        (
            'flask = {version = "3", markers = "os_name == \'posix\'"}',
            "flask>=3.0.0,<4.0.0 ; os_name == 'posix'",
        ),
        ('flask = {version = "3", optional = true}', None),
        ('python = "^3.11"', None),
        ("flask = 3", None),
    ],
)
def test_a_dependency_becomes_what_pip_reads(line: str, requirement: str | None) -> None:
    assert as_requirements(tomllib.loads(line)) == ([requirement] if requirement else [])
