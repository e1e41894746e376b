"""The tar stream of a commit, from a real repository to the members that a build gets."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from stackyn_server.domain.failures import TransientFailure
from stackyn_server.source.archive import archive
from tests.git_server import Link, Program, Submodule
from tests.integration.source.conftest import Fetched, git_processes, lose_objects

LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n"


async def members(stream: AsyncIterator[bytes]) -> dict[str, tarfile.TarInfo]:
    data = b"".join([chunk async for chunk in stream])
    with tarfile.open(fileobj=io.BytesIO(data), errorlevel=2) as tar:
        return {member.name: member for member in tar}


async def contents(stream: AsyncIterator[bytes]) -> dict[str, bytes]:
    data = b"".join([chunk async for chunk in stream])
    with tarfile.open(fileobj=io.BytesIO(data), errorlevel=2) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar if m.isreg()}  # type: ignore[union-attr]


async def test_files_links_and_programs_arrive_as_they_are(fetched: Fetched, clone: Path) -> None:
    odd, long = b"caf\xe9.txt".decode("utf-8", "surrogateescape"), "d/" + "n" * 200
    sha = await fetched(
        {"a.txt": "a", "run.sh": Program(b"#!"), "up": Link("../../etc/passwd"), odd: "o", long: "l"}
    )
    found = await members(archive(clone, sha))
    assert set(found) == {"a.txt", "run.sh", "up", odd, "d", long}
    assert found["run.sh"].mode == 0o755 and found["a.txt"].mode == 0o644
    assert found["up"].issym() and found["up"].linkname == "../../etc/passwd"
    assert found["a.txt"].mtime > 0


async def test_a_repository_can_not_drop_or_rewrite_its_files(fetched: Fetched, clone: Path) -> None:
    everywhere = "* export-ignore\n** export-ignore\n*.txt export-subst export-ignore\n"
    tree = {
        ".gitattributes": everywhere,
        "Dockerfile": "FROM x",
        "a.txt": "$Format:%H$",
        "deep/.gitattributes": everywhere,
        "deep/b.txt": "$Format:%H$",
    }
    found = await contents(archive(clone, await fetched(tree)))
    assert found == {path: content.encode() for path, content in tree.items()}


async def test_dockers_ignore_file_is_honoured_but_for_what_a_build_needs(
    fetched: Fetched, clone: Path
) -> None:
    sha = await fetched(
        {".dockerignore": "*\n!src\nsrc/*.log", "Dockerfile": "FROM x", "src/a": "a", "src/b.log": "b"}
    )
    assert set(await contents(archive(clone, sha))) == {".dockerignore", "Dockerfile", "src/a"}


async def test_patterns_of_the_plan_come_before_those_of_the_repository(
    fetched: Fetched, clone: Path
) -> None:
    sha = await fetched(
        {".dockerignore": "!node_modules/own", "node_modules/x": "x", "node_modules/own": "o", "a": "a"}
    )
    found = await contents(archive(clone, sha, ignore=("node_modules",)))
    assert set(found) == {".dockerignore", "node_modules/own", "a"}


async def test_a_root_directory_becomes_the_context(fetched: Fetched, clone: Path) -> None:
    sha = await fetched(
        {
            ".dockerignore": "*",
            "web/.dockerignore": "b",
            "web/a": "a",
            "web/b": "b",
            "web[1]/c": "c",
            "x": "x",
        }
    )
    assert await contents(archive(clone, sha, root="web")) == {".dockerignore": b"b", "a": b"a"}
    assert await contents(archive(clone, sha, root="web[1]")) == {"c": b"c"}


async def test_the_generated_dockerfile_is_a_member(fetched: Fetched, clone: Path) -> None:
    sha = await fetched({"a": "a", ".stackyn/Dockerfile": "FROM evil", ".stackyn/x": "x"})
    found = await contents(archive(clone, sha, extra={".stackyn/Dockerfile": b"FROM good"}))
    assert found == {".stackyn/Dockerfile": b"FROM good", "a": b"a"}


async def test_what_is_not_fetched_is_said(fetched: Fetched, clone: Path) -> None:
    sha = await fetched({"movie.mp4": LFS_POINTER, "lib": Submodule("1" * 40)})
    said: list[str] = []
    await members(archive(clone, sha, say=said.append))
    assert len(said) == 1 and "LFS" in said[0] and "movie.mp4" in said[0]


async def test_a_reader_that_leaves_early_leaves_no_git_process(fetched: Fetched, clone: Path) -> None:
    sha = await fetched({f"{number}.bin": os.urandom(1 << 20) for number in range(3)})
    async with aclosing(archive(clone, sha)) as stream:
        await anext(stream)
        assert git_processes(clone) != [], "git waits for its reader"
    assert git_processes(clone) == []


async def test_an_archive_that_breaks_off_is_not_taken_for_a_whole_one(fetched: Fetched, clone: Path) -> None:
    sha = await fetched({"a": "a"})
    lose_objects(clone)
    with pytest.raises(TransientFailure):
        await members(archive(clone, sha))
