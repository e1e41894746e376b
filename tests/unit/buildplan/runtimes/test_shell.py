"""A script that starts everything."""

from __future__ import annotations

import pytest

from tests.unit.buildplan.trees import EVERYTHING, Tree, command, lines, planned, refused


@pytest.mark.parametrize(
    ("script", "start"),
    [
        ("#!/bin/bash\necho hello\n", "bash start.sh"),
        ("#!/usr/bin/env bash\n", "bash start.sh"),
        ("#!/bin/sh\n", "sh start.sh"),
        ("#!/usr/bin/env zsh\n", "bash start.sh"),
        ("echo hello\n", "bash start.sh"),
    ],
)
def test_the_script_runs_with_the_shell_that_it_names(script: str, start: str) -> None:
    plan = planned({"start.sh": script}, toolchains=EVERYTHING)
    assert plan.runtime == "shell" and command(plan) == f"exec {start}"
    assert "FROM stackyn/base:12" in lines(plan)


@pytest.mark.parametrize(
    ("tree", "start"),
    [
        ({"run.sh": "", "Procfile": "web: ./run.sh"}, "./run.sh"),
        ({"bin/serve": "", "Procfile": "web: bash bin/serve"}, "bash bin/serve"),
        ({"site.pl": "", "Procfile": "web: perl site.pl"}, "perl site.pl"),
        ({"start.sh": "", "Procfile": "web: busybox httpd -f -p $PORT"}, "busybox httpd -f -p $PORT"),
    ],
)
def test_a_start_command_that_runs_a_file_is_enough(tree: Tree, start: str) -> None:
    plan = planned(tree, toolchains=EVERYTHING)
    assert plan.runtime == "shell" and command(plan) == f"exec {start}"


@pytest.mark.parametrize(
    "tree",
    [
        {"README": "", "Procfile": "web: serve"},
        {"run.sh": "", "gleam.toml": "", "Procfile": "web: ./run.sh"},
    ],
)
def test_a_start_command_alone_builds_no_language(tree: Tree) -> None:
    assert refused(tree, toolchains=EVERYTHING)
