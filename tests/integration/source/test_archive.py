"""The build context of a plan, from a real repository to the members that a build gets."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from stackyn_server.buildplan.build_plan import GENERATED_DOCKERFILE, BuildPlan
from stackyn_server.config import ReadingSettings
from stackyn_server.domain.failures import DeploymentFailed, FailureCode, TransientFailure
from stackyn_server.source import archive as archive_module
from stackyn_server.source import reader
from tests.git_server import Link, Program
from tests.integration.source.conftest import FLASK, OPTIONS, Fetched, git_processes, lose_objects

READING = ReadingSettings()
LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n"
OURS = {GENERATED_DOCKERFILE, f"{GENERATED_DOCKERFILE}.dockerignore"}


def own(dockerfile: str = "Dockerfile", **parts: Any) -> BuildPlan:
    return BuildPlan("dockerfile", ("r",), dockerfile, None, None, **parts)


def generated(text: str = "FROM good", **parts: Any) -> BuildPlan:
    return BuildPlan("python", ("r",), GENERATED_DOCKERFILE, text, 8080, **parts)


def archive(
    clone: Path, sha: str, plan: BuildPlan | None = None, **options: Any
) -> AsyncGenerator[bytes, None]:
    return archive_module.archive(READING, clone, sha, plan or own(), **options)


async def members(stream: AsyncIterator[bytes]) -> dict[str, tarfile.TarInfo]:
    """The members by their paths below `context/`, which comes first."""
    data = b"".join([chunk async for chunk in stream])
    with tarfile.open(fileobj=io.BytesIO(data), errorlevel=2) as tar:
        first, *tar_members = tar
    assert first.isdir() and first.name == "context"
    assert all(member.name.startswith("context/") for member in tar_members)
    return {member.name.removeprefix("context/"): member for member in tar_members}


async def contents(stream: AsyncIterator[bytes]) -> dict[str, bytes]:
    data = b"".join([chunk async for chunk in stream])
    with tarfile.open(fileobj=io.BytesIO(data), errorlevel=2) as tar:
        return {
            member.name.removeprefix("context/"): tar.extractfile(member).read()  # type: ignore[union-attr]
            for member in tar
            if member.isreg()
        }


async def test_files_links_and_programs_arrive_as_they_are(fetched: Fetched, clone: Path) -> None:
    odd, long = b"caf\xe9.txt".decode("utf-8", "surrogateescape"), "d/" + "n" * 200
    sha = await fetched(
        {"a.txt": "a", "run.sh": Program(b"#!"), "up": Link("../../etc/passwd"), odd: "o", long: "l"}
    )
    tar_members = await members(archive(clone, sha))
    assert set(tar_members) == {"a.txt", "run.sh", "up", odd, "d", long}
    assert tar_members["run.sh"].mode == 0o755 and tar_members["a.txt"].mode == 0o644
    assert tar_members["up"].issym() and tar_members["up"].linkname == "../../etc/passwd"
    assert tar_members["a.txt"].mtime > 0


async def test_a_repository_can_not_drop_or_rewrite_its_files(fetched: Fetched, clone: Path) -> None:
    everywhere = "* export-ignore\n** export-ignore\n*.txt export-subst export-ignore\n"
    tree = {
        ".gitattributes": everywhere,
        "Dockerfile": "FROM x",
        "a.txt": "$Format:%H$",
        "deep/.gitattributes": everywhere,
        "deep/b.txt": "$Format:%H$",
    }
    files = await contents(archive(clone, await fetched(tree)))
    assert files == {path: content.encode() for path, content in tree.items()}


async def test_dockerignore_applies_except_to_what_a_build_needs(fetched: Fetched, clone: Path) -> None:
    sha = await fetched(
        {".dockerignore": "*\n!src\nsrc/*.log", "Dockerfile": "FROM x", "src/a": "a", "src/b.log": "b"}
    )
    assert set(await contents(archive(clone, sha))) == {".dockerignore", "Dockerfile", "src/a"}


async def test_rules_beside_the_dockerfile_go_before_the_general_ones(fetched: Fetched, clone: Path) -> None:
    sha = await fetched(
        {
            ".dockerignore": "server.py",
            "deploy/web.Dockerfile": "FROM x",
            "deploy/web.Dockerfile.dockerignore": "deploy\nnotes",
            "server.py": "s",
            "notes": "n",
        }
    )
    files = await contents(archive(clone, sha, own("deploy/web.Dockerfile")))
    assert set(files) == {
        ".dockerignore",
        "deploy/web.Dockerfile",
        "deploy/web.Dockerfile.dockerignore",
        "server.py",
    }


async def test_own_dockerfile_obeys_only_the_authors_ignore_rules(fetched: Fetched, clone: Path) -> None:
    tree = {"Dockerfile": "FROM x", "node_modules/a": "a", ".venv/b": "b", ".env": "c"}
    assert set(await contents(archive(clone, await fetched(tree)))) == set(tree)


async def test_what_a_plan_ignores_is_left_out(fetched: Fetched, clone: Path) -> None:
    sha = await fetched({"node_modules/x": "x", "web/node_modules/y": "y", "a": "a", ".dockerignore": "b"})
    files = await contents(archive(clone, sha, generated(ignore=("**/node_modules",))))
    assert set(files) == {*OURS, ".dockerignore", "a"}


PACKAGE = '{"scripts": {"start": "node a.js"}, "dependencies": {"express": "4"}}'


@pytest.mark.parametrize(
    ("sent", "left_out"),
    [
        ({"package.json": PACKAGE, "a.js": ""}, ("node_modules/express/x.js", "web/node_modules/y.js")),
        ({"requirements.txt": "flask\ngunicorn", "app.py": FLASK}, (".venv/bin/python", "lib/venv/x.py")),
        ({"index.html": ""}, (".env", ".env.local", "docs/.env.production")),
        ({"public/index.html": ""}, ("public/.env", "public/.env.local")),
    ],
    ids=["node", "python", "static", "folder of a static site"],
)
async def test_committed_packages_and_secrets_stay_out_of_a_plan(
    fetched: Fetched, clone: Path, sent: dict[str, str], left_out: tuple[str, ...]
) -> None:
    tree = {**sent, **dict.fromkeys(left_out, "committed by mistake")}
    sha = await fetched(tree)
    plan = await reader.plan(READING, clone, sha, tree, OPTIONS)

    stored = BuildPlan.from_json(json.loads(json.dumps(plan.as_json())))

    assert set(await contents(archive(clone, sha, stored))) == {*OURS, *sent}


async def test_the_repository_can_take_back_what_a_plan_ignores(fetched: Fetched, clone: Path) -> None:
    sha = await fetched(
        {".dockerignore": "!node_modules/own", "node_modules/x": "x", "node_modules/own": "o", "a": "a"}
    )
    files = await contents(archive(clone, sha, generated(ignore=("node_modules",))))
    assert set(files) == {*OURS, ".dockerignore", "node_modules/own", "a"}


async def test_what_a_generated_dockerfile_copies_is_always_sent(fetched: Fetched, clone: Path) -> None:
    sha = await fetched(
        {
            ".dockerignore": "*.json\npublic\nlogs",
            "package-lock.json": "l",
            "other.json": "o",
            "public/index.html": "h",
            "public/.env": "e",
            "logs/a": "a",
        }
    )
    plan = generated(copies=("package-lock.json", "public"), ignore=("**/.env",))
    files = await contents(archive(clone, sha, plan))
    assert set(files) == {*OURS, ".dockerignore", "package-lock.json", "public/index.html"}


async def test_builder_ignores_nothing_more_of_a_generated_build(fetched: Fetched, clone: Path) -> None:
    """BuildKit obeys the ignore file beside the Dockerfile, then not that of the root."""
    sha = await fetched({".dockerignore": "package-lock.json", "package-lock.json": "l"})
    files = await contents(archive(clone, sha, generated(copies=("package-lock.json",))))
    assert files[f"{GENERATED_DOCKERFILE}.dockerignore"] == b".stackyn\n"


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


async def test_a_dockerfile_outside_of_the_root_directory_is_added(fetched: Fetched, clone: Path) -> None:
    sha = await fetched(
        {
            "docker/Dockerfile": "FROM far",
            "docker/Dockerfile.dockerignore": "b",
            "web/.dockerignore": "a",
            "web/a": "a",
            "web/b": "b",
        }
    )
    plan = own(GENERATED_DOCKERFILE, dockerfile_from="docker/Dockerfile")
    files = await contents(archive(clone, sha, plan, root="web"))
    assert set(files) == {*OURS, ".dockerignore", "a"}
    assert files[GENERATED_DOCKERFILE] == b"FROM far"
    assert files[f"{GENERATED_DOCKERFILE}.dockerignore"].split() == [b"b", b".stackyn"]


async def test_the_generated_dockerfile_is_a_member(fetched: Fetched, clone: Path) -> None:
    sha = await fetched({"a": "a", ".stackyn/Dockerfile": "FROM evil", ".stackyn/x": "x"})
    files = await contents(archive(clone, sha, generated()))
    assert set(files) == {*OURS, "a"} and files[GENERATED_DOCKERFILE] == b"FROM good"


async def test_what_is_not_fetched_is_said(fetched: Fetched, clone: Path) -> None:
    sha = await fetched({"movie.mp4": LFS_POINTER})
    lines: list[str] = []
    await members(archive(clone, sha, write_line=lines.append))
    assert len(lines) == 1 and "LFS" in lines[0] and "movie.mp4" in lines[0]


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


async def test_a_filter_that_needs_too_long_is_ended_with_a_sentence(fetched: Fetched, clone: Path) -> None:
    patterns = "\n".join(f"**/[a-y]*{number}*[a-y]" for number in range(3_000))
    files = {f"{number:04}{'ab' * 98}": "" for number in range(3_000)}
    sha = await fetched({".dockerignore": patterns, **files})
    hurried = ReadingSettings(context_cpu_seconds=1)
    with pytest.raises(DeploymentFailed, match="1 seconds of processor time") as failed:
        [chunk async for chunk in archive_module.archive(hurried, clone, sha, own())]
    assert failed.value.failure.code is FailureCode.SOURCE_TOO_LARGE and not failed.value.retryable
