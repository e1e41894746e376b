"""What the doctor finds on machines that lack something."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackyn_server.cli import ports
from stackyn_server.cli.doctor import examine
from stackyn_server.cli.findings import Finding, Severity
from stackyn_server.config import Settings
from stackyn_server.jobs.data_directory import DataDirectory

NO_PROCESS = 2**22 + 1  # above what the kernel gives out


@pytest.fixture
def healthy(cluster_dir: Path) -> Settings:
    """Settings that nothing on the test machine is needed for, except git and the package's binaries."""
    return changed(
        Settings(),
        server={"data_dir": cluster_dir, "port": free_port()},
        hold={"port": free_port()},
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


async def findings_of(settings: Settings, subject: str) -> list[Finding]:
    return [finding for finding in await examine(settings) if finding.subject == subject]


async def test_a_missing_engine_is_a_problem_with_a_next_step(
    healthy: Settings,
) -> None:
    findings = await examine(healthy)
    problems = [finding for finding in findings if finding.severity is Severity.PROBLEM]
    assert [(problem.subject, bool(problem.hint)) for problem in problems] == [("engine", True)]
    assert {finding.subject for finding in findings} == {
        "data directory", "git", "database", "engine", "ingress", "ports", "names", "cookies",
        "kernel limits",
    }  # fmt: skip


async def test_examining_leaves_nothing_behind(healthy: Settings, cluster_dir: Path) -> None:
    data_dir = cluster_dir / "data"
    await examine(changed(healthy, server={"data_dir": data_dir}))
    assert not data_dir.exists()


@pytest.mark.parametrize(
    ("table", "setting", "other_settings", "whose"),
    [
        ("server", "port", {}, "the API"),
        ("hold", "port", {}, "held requests"),
        ("frontend", "port", {"console": "/srv/console"}, "the web clients"),
        ("ingress", "http_port", {"provider": "traefik"}, "the ingress"),
        ("ingress", "metrics_port", {"provider": "traefik"}, "the ingress's numbers"),
    ],
)
async def test_a_taken_port_is_a_problem(
    healthy: Settings,
    taken_port: int,
    table: str,
    setting: str,
    other_settings: dict[str, object],
    whose: str,
) -> None:
    quiet = changed(healthy, ingress={"http_port": free_port(), "metrics_port": free_port()})
    ports = await findings_of(changed(quiet, **{table: {setting: taken_port, **other_settings}}), "ports")
    (problem,) = [finding for finding in ports if finding.severity is Severity.PROBLEM]
    assert problem.sentence.endswith(f":{taken_port} for {whose}: somebody else uses it.")
    assert f":{taken_port}'" in problem.hint


async def test_a_port_that_is_not_served_is_not_tried(healthy: Settings, taken_port: int) -> None:
    """No web client is configured, and somebody else's proxy has ports of its own."""
    unused = changed(healthy, frontend={"port": taken_port}, ingress={"metrics_port": taken_port})
    assert {finding.severity for finding in await findings_of(unused, "ports")} == {Severity.FINE}


async def test_the_ports_of_the_server_that_runs_are_its_own(
    healthy: Settings, taken_port: int, cluster_dir: Path
) -> None:
    """Whatever database it uses: who uses the data directory is written in it."""
    elsewhere = {"url": f"postgresql://stackyn@/x?host={cluster_dir}"}
    serving = changed(healthy, server={"port": taken_port}, database=elsewhere)
    directory = await DataDirectory.acquire(serving.server.data_dir)
    try:
        api, hold = await findings_of(serving, "ports")
    finally:
        directory.release()
    assert api.sentence == f"the API serves on 127.0.0.1:{taken_port}." and hold.severity is Severity.FINE


async def test_a_server_that_ended_has_no_port(healthy: Settings, taken_port: int) -> None:
    (await DataDirectory.acquire(healthy.server.data_dir)).release()
    file = healthy.server.data_dir / "lock"
    holder = json.loads(file.read_text())
    file.write_text(json.dumps({**holder, "start_ticks": holder["start_ticks"] - 1}))
    api, _ = await findings_of(changed(healthy, server={"port": taken_port}), "ports")
    assert api.severity is Severity.PROBLEM


@pytest.mark.parametrize(("is_ours", "severity"), [(True, Severity.FINE), (False, Severity.PROBLEM)])
async def test_a_second_proxy_on_our_port_is_named(
    healthy: Settings, taken_port: int, monkeypatch: pytest.MonkeyPatch, is_ours: bool, severity: Severity
) -> None:
    """What listens is this process: once it is our proxy, once the leftover of another installation."""

    async def proxies(_: Settings) -> dict[str, ports._Proxy]:
        return {"id": ports._Proxy("stackyn-ingress-1", os.getpid() if is_ours else NO_PROCESS, True)}

    monkeypatch.setattr(ports, "_running_proxies", proxies)
    managed = {"provider": "traefik", "http_port": taken_port, "metrics_port": free_port()}

    findings = await findings_of(changed(healthy, ingress=managed), "ports")

    (finding,) = [each for each in findings if str(taken_port) in each.sentence]
    assert finding.severity is severity
    assert is_ours or f"Process {os.getpid()} " in finding.sentence


async def test_a_database_that_does_not_answer_is_a_problem(healthy: Settings, cluster_dir: Path) -> None:
    (finding,) = await findings_of(
        changed(healthy, database={"url": f"postgresql://stackyn@/x?host={cluster_dir}"}), "database"
    )
    assert (finding.severity, finding.sentence) == (
        Severity.PROBLEM,
        "The database can't be reached right now.",
    )


async def test_an_answering_database_is_fine(healthy: Settings, database_url: str) -> None:
    (finding,) = await findings_of(changed(healthy, database={"url": database_url}), "database")
    assert (finding.severity, finding.sentence) == (Severity.FINE, "PostgreSQL 18 answers.")


async def test_missing_programs_of_the_database_are_a_problem(healthy: Settings, cluster_dir: Path) -> None:
    (finding,) = await findings_of(changed(healthy, database={"binaries": str(cluster_dir)}), "database")
    assert finding.severity is Severity.PROBLEM and "[database] binaries" in finding.sentence


async def test_missing_git_is_a_problem(
    healthy: Settings, cluster_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(cluster_dir))
    (finding,) = await findings_of(healthy, "git")
    assert (finding.severity, finding.sentence) == (Severity.PROBLEM, "git is not installed.")


async def test_an_old_git_is_a_problem(
    healthy: Settings, cluster_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_git(cluster_dir)
    monkeypatch.setenv("PATH", str(cluster_dir))
    (finding,) = await findings_of(healthy, "git")
    assert (finding.severity, finding.sentence) == (Severity.PROBLEM, "git 2.20.1 is too old.")


async def test_a_file_in_place_of_the_data_directory_is_a_problem(
    healthy: Settings, cluster_dir: Path
) -> None:
    (cluster_dir / "file").write_text("")
    (finding,) = await findings_of(
        changed(healthy, server={"data_dir": cluster_dir / "file"}), "data directory"
    )
    assert finding.severity is Severity.PROBLEM


async def test_a_domain_without_an_address_is_a_warning(healthy: Settings) -> None:
    (finding,) = await findings_of(changed(healthy, public={"base_domain": "nowhere.invalid"}), "names")
    assert finding.severity is Severity.WARNING and "DNS" in finding.hint


def test_a_finding_is_one_line_and_its_hint_another() -> None:
    finding = Finding("git", Severity.PROBLEM, "git is not installed.", "Install it: apt install git")
    assert finding.as_text() == (
        "problem  git            git is not installed.\n                        Install it: apt install git"
    )


def old_git(folder: Path) -> None:
    program = folder / "git"
    program.write_text("#!/bin/sh\necho git version 2.20.1\n")
    program.chmod(0o755)
