"""Reading a fetched commit: bounded lists, contents of single files."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from stackyn_server.buildplan.file_sizes import bytes_allowed
from stackyn_server.domain.failures import DeploymentFailed, FailureCode
from stackyn_server.source.repository import fetch
from stackyn_server.source.tree import PATHS_BYTES, CommitFile, list_files, read_files
from tests.git_server import GitServer, Link, Program
from tests.integration.source.conftest import SETTINGS, Fetched, files_in, lose_objects

ODD_NAME = b'caf\xe9 "x"\ty.txt'.decode("utf-8", "surrogateescape")


async def test_files_are_listed_with_mode_and_size(fetched: Fetched, clone: Path) -> None:
    sha = await fetched({"a/b.txt": "12345", "run.sh": Program(b"#!"), "l": Link("a"), ODD_NAME: "x"})
    tree = await list_files(SETTINGS, clone, sha)
    assert dict(tree.files) == {
        "a/b.txt": CommitFile(0o100644, 5),
        "run.sh": CommitFile(0o100755, 2),
        "l": CommitFile(0o120000, 1),
        ODD_NAME: CommitFile(0o100644, 1),
    }
    assert tree.files["l"].is_symlink
    assert tree.submodules == {}


async def test_a_commit_without_files_is_empty(server: GitServer, clone: Path) -> None:
    url, _ = await server.publish("app", {})
    with pytest.raises(DeploymentFailed) as failed:
        await fetch(SETTINGS, clone, url, "main", None, print)
    assert failed.value.failure.code is FailureCode.SOURCE_EMPTY


async def test_more_files_than_the_limit_are_too_many(fetched: Fetched, clone: Path) -> None:
    sha = await fetched({f"f{number}": "x" for number in range(201)})
    with pytest.raises(DeploymentFailed, match="more than 200 files") as failed:
        await list_files(SETTINGS, clone, sha)
    assert failed.value.failure.code is FailureCode.SOURCE_TOO_LARGE


async def test_contents_over_the_limit_are_refused_in_a_small_pack(fetched: Fetched, clone: Path) -> None:
    sha = await fetched({"zeros.bin": bytes(5 << 20)})
    assert 0 < sum(files_in(clone, "objects/pack/*.pack").values()) < 100_000
    with pytest.raises(DeploymentFailed, match="limit of 4 MB") as failed:
        await list_files(SETTINGS, clone, sha)
    assert failed.value.failure.code is FailureCode.SOURCE_TOO_LARGE


@pytest.mark.timeout(30)
async def test_a_tree_bomb_ends_at_the_limit(server: GitServer, clone: Path) -> None:
    """Ten levels of ten folders that are all the same: 10,000,000,000 files in eleven small objects."""
    url, _ = await server.publish("app", {"f": "boom"})
    await asyncio.to_thread(push_tree_bomb, server)
    with pytest.raises(DeploymentFailed) as failed:
        await fetch(SETTINGS, clone, url, "main", None, print)
    assert failed.value.failure.code is FailureCode.SOURCE_TOO_LARGE


def push_tree_bomb(server: GitServer) -> str:
    kind, sha = "blob", server.git_now("app", "rev-parse", "main:f").strip()
    for _ in range(10):
        mode = "100644" if kind == "blob" else "040000"
        lines = "".join(f"{mode} {kind} {sha}\t{number}\n" for number in range(10))
        kind, sha = "tree", server.git_now("app", "mktree", stdin=lines.encode()).strip()
    return commit_of(server, sha)


def commit_of(server: GitServer, tree: str) -> str:
    identity = ["-c", "user.name=Tests", "-c", "user.email=tests@stackyn.test"]
    commit = server.git_now("app", *identity, "commit-tree", "-m", "made by hand", tree).strip()
    server.git_now("app", "update-ref", "refs/heads/main", commit)
    return commit


async def test_contents_are_read_through_links_inside_the_commit(fetched: Fetched, clone: Path) -> None:
    sha = await fetched(
        {
            "docker/Dockerfile": "FROM x",
            "Dockerfile": Link("docker/Dockerfile"),
            "outside": Link("/etc/passwd"),
            "above": Link("../../etc/passwd"),
            "nowhere": Link("none"),
            "loop": Link("loop"),
            "folder": Link("docker"),
            "empty": "",
            ODD_NAME: b"\x00\n\xff",
        }
    )
    paths = [
        "Dockerfile",
        "outside",
        "above",
        "nowhere",
        "loop",
        "folder",
        "docker",
        "absent file",
        "empty",
        "a\nb",
    ]
    files = await read_files(clone, sha, [*paths, ODD_NAME])
    assert files == {"Dockerfile": b"FROM x", "empty": b"", ODD_NAME: b"\x00\n\xff"}


@pytest.mark.parametrize("name", ["package.json", "Dockerfile", ".dockerignore", "a.Dockerfile.dockerignore"])
async def test_a_file_that_is_too_large_to_plan_with_is_refused(
    fetched: Fetched, clone: Path, name: str
) -> None:
    most = bytes_allowed(name)
    sha = await fetched({f"fits/{name}": b"x" * most})
    assert len((await read_files(clone, sha, [f"fits/{name}"]))[f"fits/{name}"]) == most
    sha = await fetched({name: b"x" * (most + 1)})
    with pytest.raises(DeploymentFailed, match=re.escape(name)) as failed:
        await read_files(clone, sha, [name])
    assert failed.value.failure.code is FailureCode.SOURCE_TOO_LARGE


@pytest.mark.timeout(30)
async def test_paths_are_bounded_together(server: GitServer, clone: Path) -> None:
    """Few files whose paths have 3,900 characters each: forty folders inside one another, the last with many files."""
    url, _ = await server.publish("app", {"f": "x"})
    count = PATHS_BYTES // 3_900 + 1
    await asyncio.to_thread(push_long_paths, server, count)
    with pytest.raises(DeploymentFailed, match="paths of the repository") as failed:
        await fetch(SETTINGS.model_copy(update={"max_files": 50_000}), clone, url, "main", None, print)
    assert failed.value.failure.code is FailureCode.SOURCE_TOO_LARGE


def push_long_paths(server: GitServer, count: int) -> str:
    blob = server.git_now("app", "rev-parse", "main:f").strip()
    lines = "".join(f"100644 blob {blob}\t{number:06}{'n' * 190}\n" for number in range(count))
    tree = server.git_now("app", "mktree", stdin=lines.encode()).strip()
    for _ in range(20):
        tree = server.git_now("app", "mktree", stdin=f"040000 tree {tree}\t{'d' * 190}\n".encode()).strip()
    return commit_of(server, tree)


async def test_a_damaged_copy_is_fetched_anew_later(fetched: Fetched, clone: Path) -> None:
    sha = await fetched({"a": "a"})
    lose_objects(clone)
    with pytest.raises(DeploymentFailed) as failed:
        await list_files(SETTINGS, clone, sha)
    assert failed.value.retryable
