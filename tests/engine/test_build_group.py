"""The control groups of a build, which its containers come into and leave at any time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from stackyn_server.engine.build_group import BuildGroup


@pytest.mark.parametrize("processes", ["", "42\n"])
async def test_a_container_whose_group_vanishes_while_it_is_looked_at_has_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: str
) -> None:
    vanishing = tmp_path / "docker-1.scope"
    for name in ("docker-0.scope", "docker-1.scope", "docker-2.scope"):
        (tmp_path / name).mkdir()
    (tmp_path / "docker-2.scope" / "cgroup.procs").write_text(processes)
    scandir = os.scandir

    def vanish(path: Any) -> Any:
        if Path(path) == vanishing:
            vanishing.rmdir()
        return scandir(path)

    monkeypatch.setattr(os, "scandir", vanish)
    is_empty = await BuildGroup("", (tmp_path,)).empty_within(0)

    assert not vanishing.exists()
    assert is_empty == (not processes), "what the others run still counts"
