from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from stackyn_server.ingress.render_context import PublicationId
from stackyn_server.ingress.route_file import RouteFile, RouteFileState


def put(file: RouteFile, text: str, number: int = 1) -> None:
    file.commit(file.stage(text), PublicationId(1, number))


def test_what_was_put_is_there_and_intact(tmp_path: Path) -> None:
    file = RouteFile(tmp_path / "routes.yml")

    put(file, "{}\n")

    assert file.path.read_text() == "{}\n"
    assert file.state() is RouteFileState.INTACT
    assert os.listdir(tmp_path) == ["routes.yml"]


def test_before_the_first_publication_the_file_is_unwritten(
    tmp_path: Path,
) -> None:
    (tmp_path / "routes.yml").write_text("{}\n")

    assert RouteFile(tmp_path / "routes.yml").state() is RouteFileState.UNWRITTEN


def test_a_removed_file_is_noticed(tmp_path: Path) -> None:
    file = RouteFile(tmp_path / "routes.yml")
    put(file, "{}\n")
    file.path.unlink()

    assert file.state() is RouteFileState.MISSING


def test_a_truncated_file_is_noticed(tmp_path: Path) -> None:
    file = RouteFile(tmp_path / "routes.yml")
    put(file, '{"http":{}}\n')
    os.truncate(file.path, 5)

    assert file.state() is RouteFileState.TRUNCATED


def test_a_file_with_other_content_is_noticed(tmp_path: Path) -> None:
    file = RouteFile(tmp_path / "routes.yml")
    put(file, '{"http":{}}\n')
    file.path.write_text('{"tcp":{}}\n')

    assert file.state() is RouteFileState.CHANGED


def test_a_late_thread_can_not_turn_the_routes_back(tmp_path: Path) -> None:
    file = RouteFile(tmp_path / "routes.yml")
    late = file.stage("old\n")
    put(file, "new}\n", number=2)

    file.commit(late, PublicationId(1, 1))

    assert file.path.read_text() == "new}\n"
    assert os.listdir(tmp_path) == ["routes.yml"]


def test_a_new_epoch_goes_on_from_its_own_first_number(tmp_path: Path) -> None:
    file = RouteFile(tmp_path / "routes.yml")
    put(file, "old}\n", number=9)

    file.commit(file.stage("new}\n"), PublicationId(2, 1))

    assert file.path.read_text() == "new}\n"


def test_sweep_removes_only_staged_files(tmp_path: Path) -> None:
    file = RouteFile(tmp_path / "routes.yml")
    put(file, "{}\n")
    file.stage("left")
    (tmp_path / "other.yml").write_text("an operator's")

    file.sweep()

    assert sorted(os.listdir(tmp_path)) == ["other.yml", "routes.yml"]


def test_a_directory_provider_ignores_staged_files(tmp_path: Path) -> None:
    staged = RouteFile(tmp_path / "stackyn.yml").stage("{}\n")

    assert staged.suffix not in {".yml", ".yaml", ".toml"}


def test_nothing_is_left_when_the_disk_refuses(tmp_path: Path) -> None:
    file = RouteFile(tmp_path / "gone" / "routes.yml", staging=tmp_path)
    staged = file.stage("{}\n")

    with pytest.raises(OSError):
        file.commit(staged, PublicationId(1, 1))
    file.discard(staged)

    assert os.listdir(tmp_path) == []


def test_only_the_proxys_group_reads_the_routes_of_our_own_proxy(tmp_path: Path) -> None:
    group = 1_900_000_001 if os.geteuid() == 0 else os.getgid()

    put(RouteFile(tmp_path / "routes.yml", group=group), "{}\n")

    status = (tmp_path / "routes.yml").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o640, group)
