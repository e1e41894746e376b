"""Fetching one commit from a real git server, and every way in which that fails."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stackyn_server.config import SourceSettings
from stackyn_server.domain.failures import DeploymentFailed, FailureCode
from stackyn_server.source.repository import fetch, remove
from stackyn_server.source.tree import list_files
from tests.git_server import GitServer, Mode
from tests.integration.source.conftest import SETTINGS, files_in, git_processes

SILENT = print  # pytest keeps the lines and shows them when a test fails
HELLO = {"index.html": "hello"}


async def test_the_tip_of_a_branch_is_fetched(server: GitServer, clone: Path) -> None:
    await server.publish("app", {"old.txt": "old"})
    url, sha = await server.publish("app", HELLO)
    await server.publish("app", {"other.txt": "other"}, branch="feature/x")
    lines: list[str] = []
    assert (await fetch(SETTINGS, clone, url, "main", None, lines.append)).commit == sha
    assert list((await list_files(SETTINGS, clone, sha)).files) == ["index.html"]
    assert any(sha in line for line in lines)
    assert not (clone / "index.html").exists()


async def test_an_older_commit_is_fetched_by_its_id(server: GitServer, clone: Path) -> None:
    url, old = await server.publish("app", {"old.txt": "old"})
    await server.publish("app", HELLO)
    assert (await fetch(SETTINGS, clone, url, "main", old, SILENT)).commit == old
    assert list((await list_files(SETTINGS, clone, old)).files) == ["old.txt"]


async def test_a_complete_fetch_is_used_again_without_the_network(server: GitServer, clone: Path) -> None:
    url, sha = await server.publish("app", HELLO)
    await fetch(SETTINGS, clone, url, "main", sha, SILENT)
    server.stop_now()
    assert (await fetch(SETTINGS, clone, url, "main", sha, SILENT)).commit == sha


async def test_what_a_crash_left_is_thrown_away(server: GitServer, clone: Path) -> None:
    url, sha = await server.publish("app", HELLO)
    (clone / "objects" / "pack").mkdir(parents=True)
    (clone / "HEAD").write_text("junk")
    (clone / "shallow.lock").touch()
    (clone / "objects" / "pack" / "tmp_pack_x").write_bytes(b"half")
    assert (await fetch(SETTINGS, clone, url, "main", None, SILENT)).commit == sha
    assert not files_in(clone, "**/tmp_pack_*") and not files_in(clone, "shallow.lock")


async def test_removing_is_complete_and_repeatable(server: GitServer, clone: Path) -> None:
    url, _ = await server.publish("app", HELLO)
    await fetch(SETTINGS, clone, url, "main", None, SILENT)
    await remove(clone)
    await remove(clone)
    assert not files_in(clone.parent, "**/*")


async def test_a_server_of_the_old_protocol_is_enough(server: GitServer, clone: Path) -> None:
    url, sha = await server.publish("app", HELLO)
    server.modes["app"] = Mode.OLD
    assert (await fetch(SETTINGS, clone, url, "main", None, SILENT)).commit == sha
    await remove(clone)
    assert (await fetch(SETTINGS, clone, url, "main", sha, SILENT)).commit == sha


async def test_another_commit_is_never_taken_for_the_wanted_one(server: GitServer, clone: Path) -> None:
    url, old = await server.publish("app", {"old.txt": "old"})
    await server.publish("app", HELLO)
    server.modes["app"] = Mode.OLD
    failed = await failure(fetch(SETTINGS, clone, url, "main", old, SILENT))
    assert (failed.failure.code, failed.retryable) == (FailureCode.REF_NOT_FOUND, False)
    assert not files_in(clone.parent, "**/*")


async def test_a_repository_with_sha256_ids_is_fetched(server: GitServer, clone: Path) -> None:
    await asyncio.to_thread(server.create_now, "app", "main", "sha256")
    url, sha = await server.publish("app", HELLO)
    assert len(sha) == 64
    assert (await fetch(SETTINGS, clone, url, "main", None, SILENT)).commit == sha


async def test_redirect_to_the_address_with_git_is_followed(server: GitServer, clone: Path) -> None:
    url, sha = await server.publish("app", HELLO)
    assert (await fetch(SETTINGS, clone, url.removesuffix(".git"), "main", None, SILENT)).commit == sha
    await remove(clone)
    assert (await fetch(SETTINGS, clone, url.removesuffix(".git"), "main", sha, SILENT)).commit == sha


@pytest.mark.parametrize(
    ("mode", "code", "is_retried", "words"),
    [
        (Mode.REDIRECT, FailureCode.SOURCE_REFUSED, False, "redirect"),
        (Mode.PRIVATE, FailureCode.SOURCE_UNREACHABLE, False, "was not found or is private"),
        (Mode.NOT_GIT, FailureCode.SOURCE_UNREACHABLE, False, "no git repository"),
        (Mode.BROKEN, FailureCode.SOURCE_UNREACHABLE, True, "could not be fetched"),
        (Mode.HANG, FailureCode.SOURCE_UNREACHABLE, True, "could not be fetched"),
        (Mode.STALL, FailureCode.SOURCE_UNREACHABLE, True, "could not be fetched"),
    ],
)
async def test_a_server_that_misbehaves_is_explained(
    server: GitServer, clone: Path, mode: Mode, code: FailureCode, is_retried: bool, words: str
) -> None:
    url, _ = await server.publish("app", HELLO)
    server.modes["app"] = mode
    failed = await failure(fetch(SETTINGS, clone, url, "main", None, SILENT))
    assert (failed.failure.code, failed.retryable) == (code, is_retried)
    assert words in failed.failure.message and failed.failure.hint
    text = (failed.failure.message + failed.failure.hint + failed.failure.evidence).lower()
    assert "unauthorized" not in text and "error: 401" not in text
    assert git_processes(clone) == []


async def test_a_repository_that_is_not_there_is_explained(server: GitServer, clone: Path) -> None:
    failed = await failure(fetch(SETTINGS, clone, f"{server.url}/nobody/none.git", "main", None, SILENT))
    assert (failed.failure.code, failed.retryable) == (FailureCode.SOURCE_UNREACHABLE, False)
    assert "was not found or is private" in failed.failure.message


async def test_an_unknown_branch_names_the_ones_that_exist(server: GitServer, clone: Path) -> None:
    for name in ("main", "develop", *(f"b{number}" for number in range(10))):
        url, _ = await server.publish("app", HELLO, branch=name)
    failed = await failure(fetch(SETTINGS, clone, url, "master", None, SILENT))
    assert (failed.failure.code, failed.retryable) == (FailureCode.REF_NOT_FOUND, False)
    assert "master" in failed.failure.message
    assert "b0, b1" in failed.failure.hint and "and 2 more" in failed.failure.hint


async def test_a_commit_that_is_not_there_is_explained(server: GitServer, clone: Path) -> None:
    url, _ = await server.publish("app", HELLO)
    failed = await failure(fetch(SETTINGS, clone, url, "main", "1" * 40, SILENT))
    assert (failed.failure.code, failed.retryable) == (FailureCode.REF_NOT_FOUND, False)


async def test_a_repository_without_commits_is_empty(server: GitServer, clone: Path) -> None:
    await asyncio.to_thread(server.create_now, "app")
    failed = await failure(fetch(SETTINGS, clone, f"{server.url}/app.git", "main", None, SILENT))
    assert (failed.failure.code, failed.retryable) == (FailureCode.SOURCE_EMPTY, False)


async def test_a_pack_over_the_limit_ends_at_the_limit(server: GitServer, clone: Path) -> None:
    url, _ = await server.publish("app", {"random.bin": os.urandom(6 << 20)})
    failed = await failure(fetch(SETTINGS, clone, url, "main", None, SILENT))
    assert (failed.failure.code, failed.retryable) == (FailureCode.SOURCE_TOO_LARGE, False)
    assert "4 MB" in failed.failure.message
    assert all(size <= 4 << 20 for size in files_in(clone, "**/*").values())


async def test_an_internal_address_is_refused_before_anything_connects(
    server: GitServer, clone: Path
) -> None:
    url, _ = await server.publish("app", HELLO)
    failed = await failure(fetch(SourceSettings(schemes=("http",)), clone, url, "main", None, SILENT))
    assert (failed.failure.code, failed.retryable) == (FailureCode.SOURCE_REFUSED, False)
    assert server.requests == []


async def test_a_scheme_that_is_no_longer_allowed_is_refused(server: GitServer, clone: Path) -> None:
    url, _ = await server.publish("app", HELLO)
    failed = await failure(fetch(SourceSettings(), clone, url, "main", None, SILENT))
    assert failed.failure.code is FailureCode.SOURCE_REFUSED


async def test_git_connects_to_the_address_that_was_checked(
    server: GitServer, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(self: object, host: str, port: int, **options: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    url, sha = await server.publish("app", HELLO)
    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", resolve)
    # No resolver knows this name, so git gets there by the pinned address only.
    named = url.replace("127.0.0.1", "only-pinned.invalid")
    assert (await fetch(SETTINGS, clone, named, "main", None, SILENT)).commit == sha


async def test_nothing_of_our_environment_reaches_git(
    server: GitServer, clone: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url, sha = await server.publish("app", HELLO)
    # Each of these alone would lead git to a port where nobody listens.
    elsewhere, there = "http://127.0.0.1:1/", f"{server.url}/"
    (tmp_path / ".gitconfig").write_text(f'[url "{elsewhere}"]\n\tinsteadOf = {there}\n')
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{elsewhere}.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", there)
    monkeypatch.setenv("http_proxy", elsewhere)
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    assert (await fetch(SETTINGS, clone, url, "main", None, SILENT)).commit == sha


@pytest.mark.parametrize("mode", [Mode.HANG, Mode.STALL])
async def test_a_cancelled_fetch_leaves_no_git_process(server: GitServer, clone: Path, mode: Mode) -> None:
    url, _ = await server.publish("app", HELLO)
    server.modes["app"] = mode
    patient = SETTINGS.model_copy(update={"stall_seconds": 600})
    task = asyncio.create_task(fetch(patient, clone, url, "main", None, SILENT))
    await server.asked(f"{mode.name} /app.git")
    assert git_processes(clone) != []
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert git_processes(clone) == []


FETCH_FOREVER = """
import asyncio, pathlib, sys
from stackyn_server.config import SourceSettings
from stackyn_server.source.repository import fetch
settings = SourceSettings(schemes=("http",), allowed_private=("127.0.0.0/8",), stall_seconds=600)
asyncio.run(fetch(settings, pathlib.Path(sys.argv[1]), sys.argv[2], "main", None, print))
"""


async def test_git_ends_with_a_killed_server(server: GitServer, clone: Path) -> None:
    url, _ = await server.publish("app", HELLO)
    server.modes["app"] = Mode.HANG
    killed = await asyncio.to_thread(subprocess.Popen, [sys.executable, "-c", FETCH_FOREVER, str(clone), url])
    await server.asked("GET /app.git")
    handles = [os.pidfd_open(pid) for pid in git_processes(clone)]
    assert handles
    killed.send_signal(signal.SIGKILL)
    await asyncio.to_thread(killed.wait)
    try:
        for handle in handles:
            ended, _, _ = await asyncio.to_thread(select.select, [handle], [], [], 10)
            assert ended, "git outlived the server that started it"
    finally:
        for handle in handles:
            os.close(handle)


async def failure(awaitable: Any) -> DeploymentFailed:
    with pytest.raises(DeploymentFailed) as caught:
        await awaitable
    return caught.value
