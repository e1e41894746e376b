"""What the doctor finds on machines that lack something."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackyn_server.cli.doctor import Finding, Verdict, examine
from stackyn_server.config import Settings


@pytest.fixture
def healthy(cluster_dir: Path) -> Settings:
    """Settings that nothing on the test machine is needed for, except git and the package's binaries."""
    return changed(
        Settings(),
        server={"data_dir": cluster_dir, "port": free_port()},
        ingress={"provider": "none"},
        engine={"socket": cluster_dir / "no-engine.sock"},
    )


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def changed(settings: Settings, **tables: dict[str, object]) -> Settings:
    values = {name: getattr(settings, name).model_copy(update=update) for name, update in tables.items()}
    return settings.model_copy(update=values)


async def found(settings: Settings, subject: str) -> list[Finding]:
    return [finding for finding in await examine(settings) if finding.subject == subject]


async def test_what_is_there_is_fine_and_a_missing_engine_is_a_problem_with_a_next_step(
    healthy: Settings,
) -> None:
    findings = await examine(healthy)
    problems = [finding for finding in findings if finding.verdict is Verdict.PROBLEM]
    assert [(problem.subject, bool(problem.hint)) for problem in problems] == [("engine", True)]
    assert {finding.subject for finding in findings} == {
        "data directory", "git", "database", "engine", "ingress", "ports", "names",
    }  # fmt: skip


async def test_examining_leaves_nothing_behind(healthy: Settings, cluster_dir: Path) -> None:
    data_dir = cluster_dir / "data"
    await examine(changed(healthy, server={"data_dir": data_dir}))
    assert not data_dir.exists()


async def test_a_taken_port_is_a_problem(healthy: Settings, taken_port: int) -> None:
    (finding,) = await found(changed(healthy, server={"port": taken_port}), "ports")
    assert finding.verdict is Verdict.PROBLEM
    assert finding.sentence == f"127.0.0.1:{taken_port} for the API: somebody else uses it."


async def test_the_port_of_a_foreign_proxy_is_a_problem(healthy: Settings, taken_port: int) -> None:
    managed = changed(healthy, ingress={"provider": "traefik", "http_port": taken_port})
    api, ingress = await found(managed, "ports")
    assert (api.verdict, ingress.verdict) == (Verdict.FINE, Verdict.PROBLEM)


async def test_a_database_that_does_not_answer_is_a_problem(healthy: Settings, cluster_dir: Path) -> None:
    (finding,) = await found(
        changed(healthy, database={"url": f"postgresql://stackyn@/x?host={cluster_dir}"}), "database"
    )
    assert (finding.verdict, finding.sentence) == (
        Verdict.PROBLEM,
        "The database can't be reached right now.",
    )


async def test_an_answering_database_is_fine(healthy: Settings, database_url: str) -> None:
    (finding,) = await found(changed(healthy, database={"url": database_url}), "database")
    assert (finding.verdict, finding.sentence) == (Verdict.FINE, "PostgreSQL 18 answers.")


async def test_missing_programs_of_the_database_are_a_problem(healthy: Settings, cluster_dir: Path) -> None:
    (finding,) = await found(changed(healthy, database={"binaries": str(cluster_dir)}), "database")
    assert finding.verdict is Verdict.PROBLEM and "[database] binaries" in finding.sentence


async def test_missing_git_is_a_problem(
    healthy: Settings, cluster_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(cluster_dir))
    (finding,) = await found(healthy, "git")
    assert (finding.verdict, finding.sentence) == (Verdict.PROBLEM, "git is not installed.")


async def test_an_old_git_is_a_problem(
    healthy: Settings, cluster_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_git(cluster_dir)
    monkeypatch.setenv("PATH", str(cluster_dir))
    (finding,) = await found(healthy, "git")
    assert (finding.verdict, finding.sentence) == (Verdict.PROBLEM, "git 2.20.1 is too old.")


async def test_a_file_in_place_of_the_data_directory_is_a_problem(
    healthy: Settings, cluster_dir: Path
) -> None:
    (cluster_dir / "file").write_text("")
    (finding,) = await found(changed(healthy, server={"data_dir": cluster_dir / "file"}), "data directory")
    assert finding.verdict is Verdict.PROBLEM


async def test_a_domain_without_an_address_is_a_warning(healthy: Settings) -> None:
    (finding,) = await found(changed(healthy, public={"base_domain": "nowhere.invalid"}), "names")
    assert finding.verdict is Verdict.WARNING and "DNS" in finding.hint


def test_a_finding_is_one_line_and_its_hint_another() -> None:
    finding = Finding("git", Verdict.PROBLEM, "git is not installed.", "Install it: apt install git")
    assert finding.as_text() == (
        "problem  git            git is not installed.\n                        Install it: apt install git"
    )


def old_git(folder: Path) -> None:
    program = folder / "git"
    program.write_text("#!/bin/sh\necho git version 2.20.1\n")
    program.chmod(0o755)
