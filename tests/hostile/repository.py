"""What a repository, and the host that serves it, try while it is fetched and read."""

from __future__ import annotations

import asyncio
import hashlib
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
from stackyn_server.source.repository import FetchedCommit
from stackyn_server.source.tree import list_files
from tests.git_server import GitServer, Link, Submodule, Tree
from tests.hostile.attempts import Attempt, Got, Open, Tries
from tests.hostile.repository_stage import (
    NOWHERE,
    VICTIM,
    RepositoryStage,
    everywhere,
    fetched_from,
    with_plain_git,
    with_room,
)
from tests.unit.buildplan.trees import TODAY

ALLOWED: Open[RepositoryStage] = Open("[source] allowed_private", everywhere)
ROOMY: Open[RepositoryStage] = Open("with higher limits", with_room)
PLAIN: Open[RepositoryStage] = Open("an ordinary git clone of everything", with_plain_git)


# Fetching

Trees = Callable[[RepositoryStage], Tree]


def _reaches(
    tree: Trees, prepare: Callable[[RepositoryStage, str], None] | None = None
) -> Tries[RepositoryStage]:
    """Success is that the victim is asked for anything, or that a file of this machine arrives or appears."""

    async def publish(stage: RepositoryStage) -> Got:
        stage.asked.clear()
        name = stage.name()
        url, _ = await stage.server.publish(name, tree(stage))
        if prepare is not None:
            prepare(stage, name)
        fetched, clone, said = await fetched_from(stage, url)
        arrived = fetched is not None and stage.secret in await _contents(clone, fetched)
        made = stage.file.with_name("made").exists()
        stage.file.with_name("made").unlink(missing_ok=True)
        if stage.plainly:
            arrived = await asyncio.to_thread(_is_below, clone, stage.secret)
        return Got(bool(stage.asked) or arrived or made, said)

    return publish


def _is_below(folder: Path, secret: str) -> bool:
    files = [path for path in folder.rglob("*") if ".git" not in path.parts and path.is_file()]
    return any(secret in path.read_text("utf-8", "replace") for path in files)


async def _contents(clone: Path, fetched: FetchedCommit) -> str:
    """All that a build would get."""
    plan = BuildPlan("dockerfile", ("r",), "Dockerfile", None, None)
    stream = archive.archive(ReadingSettings(), clone, fetched.tree, plan)
    return b"".join([chunk async for chunk in stream]).decode("latin-1")


def _submodule(address: Callable[[RepositoryStage], str]) -> Trees:
    def tree(stage: RepositoryStage) -> Tree:
        modules = f'[submodule "lib"]\n\tpath = lib\n\turl = {address(stage)}\n'
        return {"index.html": "hello", ".gitmodules": modules, "lib": Submodule(NOWHERE)}

    return tree


def _simple(_: RepositoryStage) -> Tree:
    return {"index.html": "hello"}


def _redirected(location: Callable[[RepositoryStage], str]) -> Callable[[RepositoryStage, str], None]:
    def redirect(stage: RepositoryStage, name: str) -> None:
        stage.server.redirects[f"/{name}.git/"] = location(stage)

    return redirect


def _dumb(stage: RepositoryStage, name: str) -> None:
    """The old protocol of plain files, by which a repository names others that have its objects."""
    stage.server.bodies[f"/{name}.git/info/refs"] = f"{NOWHERE}\trefs/heads/main\n".encode()
    stage.server.bodies[f"/{name}.git/HEAD"] = b"ref: refs/heads/main\n"
    for listing in ("http-alternates", "alternates"):
        stage.server.bodies[f"/{name}.git/objects/info/{listing}"] = (
            f"{stage.victim}/other.git/objects\n".encode()
        )


async def _at_the_victim(stage: RepositoryStage) -> Got:
    stage.asked.clear()
    _, _, said = await fetched_from(stage, f"{stage.victim}/team/app.git")
    return Got(bool(stage.asked), said)


def _runs(command: str) -> Callable[[RepositoryStage], str]:
    return lambda stage: command.replace("{made}", str(stage.file.with_name("made")))


FETCHING = [
    Attempt("repository at a private address", _at_the_victim, "SOURCE_REFUSED", ALLOWED),
    Attempt(
        "redirect to a private address",
        _reaches(_simple, _redirected(lambda stage: f"{stage.victim}/x.git/info/refs")),
        "SOURCE_REFUSED",
        PLAIN,
    ),
    Attempt(
        "redirect to a file",
        _reaches(_simple, _redirected(lambda stage: f"file://{stage.file}")),
        "SOURCE_",
        Open("[source] allowed_private, at a private address", everywhere),
        _at_the_victim,
    ),
    Attempt("objects of a repository at a private address", _reaches(_simple, _dumb), "SOURCE_", PLAIN),
    Attempt(
        "submodule at a private address",
        _reaches(_submodule(lambda stage: f"{stage.victim}/lib.git")),
        "SOURCE_REFUSED",
        ALLOWED,
    ),
    Attempt(
        "submodule at a private address, by other spellings",
        _reaches(_submodule(lambda stage: stage.victim.replace(VICTIM, "0x7f.2") + "/lib.git")),
        "SOURCE_REFUSED",
        PLAIN,
    ),
    Attempt(
        "submodule that is a program",
        _reaches(_submodule(_runs("ext::touch {made}"))),
        "SOURCE_REFUSED",
        PLAIN,
    ),
    Attempt(
        "submodule that is an option",
        _reaches(_submodule(_runs("-u./x;touch {made};"))),
        "SOURCE_REFUSED",
        Open("that is a program, with an ordinary git", with_plain_git),
        _reaches(_submodule(_runs("ext::touch {made}"))),
    ),
]


# Git LFS


def _pointing(content: bytes = b"x" * 500) -> Tree:
    oid = hashlib.sha256(content).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"
    return {".gitattributes": "*.png filter=lfs\n", "a.png": pointer}


def _configured(stage: RepositoryStage) -> Tree:
    return {**_pointing(), ".lfsconfig": f"[lfs]\n\turl = {stage.victim}/lfs\n"}


def _object_at(address: Callable[[RepositoryStage], str]) -> Callable[[RepositoryStage, str], None]:
    def prepare(stage: RepositoryStage, name: str) -> None:
        oid = hashlib.sha256(b"x" * 500).hexdigest()
        action = {"download": {"href": address(stage)}}
        batch = {"objects": [{"oid": oid, "size": 500, "actions": action}]}
        stage.server.bodies[f"/{name}.git/info/lfs/objects/batch"] = json.dumps(batch).encode()
        stage.server.redirects[f"/{name}/object"] = f"{stage.victim}/object"

    return prepare


def _redirected_object(stage: RepositoryStage, name: str) -> None:
    _object_at(lambda stage: f"{stage.server.url}/{name}/object")(stage, name)


_at_victims_object = _reaches(lambda _: _pointing(), _object_at(lambda stage: f"{stage.victim}/object"))
OBJECT_ALLOWED: Open[RepositoryStage] = Open("[source] allowed_private, at a private address", everywhere)
LFS = [
    Attempt("LFS server at a private address", _reaches(_configured), "SOURCE_REFUSED", ALLOWED),
    Attempt("LFS object at a private address", _at_victims_object, "SOURCE_REFUSED", ALLOWED),
    Attempt(
        "LFS object that is a file",
        _reaches(lambda _: _pointing(), _object_at(lambda stage: f"file://{stage.file}")),
        "SOURCE_UNREACHABLE",
        OBJECT_ALLOWED,
        _at_victims_object,
    ),
    Attempt(
        "LFS object that is redirected to a private address",
        _reaches(lambda _: _pointing(), _redirected_object),
        "SOURCE_UNREACHABLE",
        OBJECT_ALLOWED,
        _at_victims_object,
    ),
]


# Files that are links, and files that would be elsewhere


def _reads(path: str) -> Tries[RepositoryStage]:
    """Success is that what planning or a build is given has the secret of this machine."""

    async def plan(stage: RepositoryStage) -> Got:
        tree = {"index.html": "hello", path: Link(str(stage.file))}
        url, _ = await stage.server.publish(stage.name(), tree)
        fetched, clone, said = await fetched_from(stage, url)
        if fetched is None:
            return Got(await asyncio.to_thread(_is_below, clone, stage.secret), said)
        files = (await list_files(stage.settings, clone, fetched.tree)).files
        try:
            planned = await reader.plan(
                ReadingSettings(), clone, fetched.tree, files, PlanOptions(TODAY, default_port=8080)
            )
            told = json.dumps(planned.as_json())
        except StackynError as refusal:
            told = str(refusal)
        seen = told + await _contents(clone, fetched)
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
        seen = await _contents(clone, fetched)
    return Got("FROM x" not in seen or commit in seen.replace(f"comment={commit}", ""), said)


REWRITING = [
    Attempt(
        "attributes that drop and rewrite files",
        _hidden_dockerfile,
        "fetched",
        Open("git archive without our attributes", with_plain_git),
    ),
]
