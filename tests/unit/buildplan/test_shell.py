"""A script that starts everything."""

from __future__ import annotations

import pytest

from tests.unit.buildplan.trees import EVERYTHING, command, lines, planned


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
