"""Submodules and Git LFS objects are in what is built, or the deployment says which are missing; and what a branch
setting means on a real server."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from stackyn_server.config import SourceSettings
from stackyn_server.domain.failures import DeploymentFailed, FailureCode
from stackyn_server.source.repository import FetchedCommit, fetch
from stackyn_server.source.tree import list_files, read_files
from tests.git_server import GitServer, Mode, Program, Submodule
from tests.integration.source.conftest import SETTINGS

ATTRIBUTES = "*.png filter=lfs diff=lfs merge=lfs -text\n"


def modules(**named: str) -> str:
    return "".join(f'[submodule "{name}"]\n\tpath = {name}\n\turl = {url}\n' for name, url in named.items())


def pointer(content: bytes) -> str:
    oid = hashlib.sha256(content).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"


async def test_submodules_are_in_their_folders(server: GitServer, clone: Path) -> None:
    _, deep = await server.publish("deep", {"deep.txt": "deep"})
    _, lib = await server.publish(
        "lib", {"lib.txt": "lib", ".gitmodules": modules(deep="../deep.git"), "deep": Submodule(deep)}
    )
    url, _ = await server.publish(
        "app", {"index.html": "app", ".gitmodules": modules(lib="../lib.git"), "lib": Submodule(lib)}
    )
    fetched = await get(clone, url)
    files = (await list_files(SETTINGS, clone, fetched.tree)).files
    assert {"index.html", "lib/lib.txt", "lib/deep/deep.txt"} <= set(files)
    assert await read_files(clone, fetched.tree, ["lib/deep/deep.txt"]) == {"lib/deep/deep.txt": b"deep"}
    assert await get(clone, url, commit=fetched.commit) == fetched


async def test_submodule_that_is_not_there_is_named(server: GitServer, clone: Path) -> None:
    url, _ = await server.publish(
        "app", {"index.html": "app", ".gitmodules": modules(lib="../none.git"), "lib": Submodule("1" * 40)}
    )
    failed = await failure(get(clone, url))
    assert failed.failure.code is FailureCode.SOURCE_UNREACHABLE
    assert "submodule lib" in failed.failure.message


@pytest.mark.parametrize("address", ["http://10.0.0.1/x/y.git", "file:///etc", "../../../.."])
async def test_submodule_at_a_forbidden_address_is_refused(
    server: GitServer, clone: Path, address: str
) -> None:
    url, _ = await server.publish(
        "app", {"index.html": "app", ".gitmodules": modules(lib=address), "lib": Submodule("1" * 40)}
    )
    failed = await failure(get(clone, url))
    assert failed.failure.code is FailureCode.SOURCE_REFUSED
    assert "lib" in failed.failure.message


async def test_link_without_an_address_is_refused(server: GitServer, clone: Path) -> None:
    url, _ = await server.publish("app", {"index.html": "app", "lib": Submodule("1" * 40)})
    failed = await failure(get(clone, url))
    assert failed.failure.code is FailureCode.SOURCE_REFUSED
    assert "git rm --cached lib" in failed.failure.hint


async def test_lfs_objects_take_the_place_of_pointers(server: GitServer, clone: Path) -> None:
    content = b"\x89PNG" + bytes(range(256)) * 4000
    server.lfs[hashlib.sha256(content).hexdigest()] = content
    tree = {
        ".gitattributes": ATTRIBUTES,
        "a.png": pointer(content),
        "bin/b.png": Program(pointer(content).encode()),
    }
    url, _ = await server.publish("app", tree)
    fetched = await get(clone, url)
    files = (await list_files(SETTINGS, clone, fetched.tree)).files
    assert (files["a.png"].size, files["bin/b.png"].mode) == (len(content), 0o100755)
    assert (await read_files(clone, fetched.tree, ["a.png"]))["a.png"][:2_000] == content[:2_000]


async def test_lfs_object_that_is_not_there_is_named(server: GitServer, clone: Path) -> None:
    url, _ = await server.publish("app", {".gitattributes": ATTRIBUTES, "a.png": pointer(b"x" * 500)})
    failed = await failure(get(clone, url))
    assert failed.failure.code is FailureCode.SOURCE_UNREACHABLE
    assert "a.png" in failed.failure.message and "LFS" in failed.failure.message


async def test_lfs_object_with_other_contents_is_refused(server: GitServer, clone: Path) -> None:
    server.lfs[hashlib.sha256(b"x" * 500).hexdigest()] = b"y" * 500
    url, _ = await server.publish("app", {".gitattributes": ATTRIBUTES, "a.png": pointer(b"x" * 500)})
    assert "not the file" in (await failure(get(clone, url))).failure.message


async def test_lfs_objects_count_towards_the_limit(server: GitServer, clone: Path) -> None:
    text = pointer(b"x").replace("size 1", "size 99999999")
    url, _ = await server.publish("app", {".gitattributes": ATTRIBUTES, "a.png": text})
    assert (await failure(get(clone, url))).failure.code is FailureCode.SOURCE_TOO_LARGE


async def test_no_branch_means_the_default_branch(server: GitServer, clone: Path) -> None:
    await server.publish("app", {"a": "old"}, branch="trunk")
    url, sha = await server.publish("app", {"a": "new"}, branch="trunk")
    await server.publish("app", {"a": "other"}, branch="feature")
    fetched = await get(clone, url, branch="HEAD")
    assert (fetched.commit, fetched.branch) == (sha, "trunk")


async def test_tags_and_commit_ids_are_deployed(server: GitServer, clone: Path) -> None:
    url, old = await server.publish("app", {"a": "old"})
    await server.publish("app", {"a": "new"})
    await asyncio.to_thread(
        server.git_now, "app", "-c", "user.name=t", "-c", "user.email=t@t", "tag", "-a", "v1", "-m", "v1", old
    )
    assert (await get(clone, url, branch="v1")).commit == old
    assert (await get(clone, url, branch=old)).commit == old


async def test_move_on_the_same_host_is_followed(server: GitServer, clone: Path) -> None:
    url, _ = await server.publish("app", {"a": "old"})
    new_url, sha = await server.publish("moved", {"a": "new"})
    server.modes["app"] = Mode.MOVED
    fetched = await get(clone, url)
    assert (fetched.commit, fetched.moved_to) == (sha, new_url)


async def test_host_that_does_not_exist_is_not_tried_again(clone: Path) -> None:
    """`tests/bench/source` asserts the 30 seconds in which it does."""
    failed = await fetch_from_nowhere(clone)
    assert (failed.failure.code, failed.retryable) == (FailureCode.SOURCE_UNREACHABLE, False)


async def fetch_from_nowhere(clone: Path) -> DeploymentFailed:
    return await failure(
        fetch(SourceSettings(), clone, "https://no-such-host.invalid/a/b.git", "main", None, print)
    )


async def get(clone: Path, url: str, *, branch: str = "main", commit: str | None = None) -> FetchedCommit:
    return await fetch(SETTINGS, clone, url, branch, commit, print)


async def failure(awaitable: Awaitable[Any]) -> DeploymentFailed:
    with pytest.raises(DeploymentFailed) as caught:
        await awaitable
    return caught.value
