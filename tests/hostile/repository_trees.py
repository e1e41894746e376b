"""Files of a repository that are links, are elsewhere, rewrite others, or are too many."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.buildplan.project import PlanOptions
from stackyn_server.config import ReadingSettings
from stackyn_server.domain.failures import DeploymentFailed
from stackyn_server.errors import StackynError
from stackyn_server.source import archive, reader
from stackyn_server.source.tree import list_files
from tests.git_server import GitServer, Link, Tree
from tests.hostile.attempts import Attempt, Got, Open, Tries
from tests.hostile.repository_stage import (
    RepositoryStage,
    contents_of,
    fetched_from,
    is_below,
    with_plain_git,
    with_room,
)
from tests.unit.buildplan.trees import TODAY

ROOMY: Open[RepositoryStage] = Open("with higher limits", with_room)
PLAIN: Open[RepositoryStage] = Open("an ordinary git clone of everything", with_plain_git)


# Files that are links, and files that would be elsewhere


def _reads(path: str) -> Tries[RepositoryStage]:
    """Success is that what planning or a build is given has the secret of this machine."""

    async def plan(stage: RepositoryStage) -> Got:
        tree = {"index.html": "hello", path: Link(str(stage.file))}
        url, _ = await stage.server.publish(stage.name(), tree)
        fetched, clone, said = await fetched_from(stage, url)
        if fetched is None:
            return Got(await asyncio.to_thread(is_below, clone, stage.secret), said)
        files = (await list_files(stage.settings, clone, fetched.tree)).files
        try:
            planned = await reader.plan(
                ReadingSettings(), clone, fetched.tree, files, PlanOptions(TODAY, default_port=8080)
            )
            told = json.dumps(planned.as_json())
        except StackynError as refusal:
            told = str(refusal)
        seen = told + await contents_of(clone, fetched)
        return Got(stage.secret in seen, f"{said}: {told}")

    return plan


LINKS = [
    Attempt(f"{path} as a link to a file of this machine", _reads(path), "fetched", PLAIN)
    for path in (
        "Dockerfile",
        "package.json",
        "requirements.txt",
        "stackyn.toml",
        ".dockerignore",
        "Procfile",
    )
]


def _tree_with(name: str) -> Tries[RepositoryStage]:
    """A tree that no git would make: success is a member of the context that is outside of it."""

    async def publish(stage: RepositoryStage) -> Got:
        repository = stage.name()
        url, _ = await stage.server.publish(repository, {"index.html": "hello"})
        await asyncio.to_thread(_plant, stage.server, repository, name)
        fetched, clone, said = await fetched_from(stage, url)
        if stage.plainly:
            clone = stage.server.repository(repository)
            members = await asyncio.to_thread(_members_of_plain_archive, clone)
        elif fetched is None:
            return Got(False, said)
        else:
            plan = BuildPlan("dockerfile", ("r",), "Dockerfile", None, None)
            try:
                stream = archive.archive(ReadingSettings(), clone, fetched.tree, plan)
                members = _members(b"".join([chunk async for chunk in stream]))
            except StackynError as refusal:
                return Got(False, str(refusal))
        outside = [member for member in members if _is_outside(member)]
        return Got(bool(outside), f"{said}: {members}")

    return publish


def _is_outside(member: str) -> bool:
    return member.startswith("/") or ".." in member.split("/") or ".git" in member.lower().split("/")


def _plant(server: GitServer, repository: str, name: str) -> None:
    blob = server.git_now(repository, "hash-object", "-w", "--stdin", stdin=b"planted").strip()
    entry = b"100644 " + name.encode() + b"\0" + bytes.fromhex(blob)
    tree = server.git_now(
        repository, "hash-object", "-t", "tree", "--literally", "-w", "--stdin", stdin=entry
    ).strip()
    text = f"tree {tree}\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nx\n"
    commit = server.git_now(
        repository, "hash-object", "-t", "commit", "-w", "--stdin", stdin=text.encode()
    ).strip()
    server.git_now(repository, "update-ref", "refs/heads/main", commit)


def _members(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [member.name for member in tar]


def _members_of_plain_archive(repository: Path) -> list[str]:
    done = subprocess.run(
        ["git", f"--git-dir={repository}", "ls-tree", "-r", "--name-only", "-z", "main"],
        capture_output=True,
        check=False,
    )
    return [name for name in done.stdout.decode().split("\0") if name]


OUTSIDE = [
    Attempt(f"file called {name!r}", _tree_with(name), "", Open("the tree as git lists it", with_plain_git))
    for name in ("../outside", "/etc/outside", ".git/hooks/post-checkout", ".GIT/config", "a/../../outside")
]


# More than a repository may have


def _more(tree: Callable[[], Tree]) -> Tries[RepositoryStage]:
    async def publish(stage: RepositoryStage) -> Got:
        url, _ = await stage.server.publish(stage.name(), tree())
        fetched, clone, said = await fetched_from(stage, url)
        if fetched is None:
            return Got(False, said)
        try:
            await list_files(stage.settings, clone, fetched.tree)
        except DeploymentFailed as failed:
            return Got(False, f"{failed.failure.code}: {failed.failure.message}")
        return Got(True, said)

    return publish


MORE = [
    Attempt(
        "20 MB of zeros in 20 kB", _more(lambda: {"zeros": bytes(20_000_000)}), "SOURCE_TOO_LARGE", ROOMY
    ),
    Attempt(
        "a pack above the limit", _more(lambda: {"random": os.urandom(5_000_000)}), "SOURCE_TOO_LARGE", ROOMY
    ),
    Attempt(
        "more files than the limit",
        _more(lambda: {f"{n}": "" for n in range(300)}),
        "SOURCE_TOO_LARGE",
        ROOMY,
    ),
]


# Files that rewrite others


async def _hidden_dockerfile(stage: RepositoryStage) -> Got:
    """Success is a build that lacks a file of the commit, or gets another content."""
    tree = {
        ".gitattributes": "* export-ignore\n*.txt -export-ignore export-subst\n",
        "Dockerfile": "FROM x",
        "a.txt": "$Format:%H$",
    }
    name = stage.name()
    url, commit = await stage.server.publish(name, tree)
    fetched, clone, said = await fetched_from(stage, url)
    if fetched is None:
        seen = await asyncio.to_thread(stage.server.git_now, name, "archive", "--format=tar", "main")
    else:
        seen = await contents_of(clone, fetched)
    return Got("FROM x" not in seen or commit in seen.replace(f"comment={commit}", ""), said)


REWRITING = [
    Attempt(
        "attributes that drop and rewrite files",
        _hidden_dockerfile,
        "fetched",
        Open("git archive without our attributes", with_plain_git),
    ),
]
