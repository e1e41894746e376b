"""Addresses in a repository, and of its host, that lead to where nobody may get while it is fetched."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable

from tests.git_server import Submodule, Tree
from tests.hostile.attempts import Attempt, Got, Open, Tries
from tests.hostile.repository_stage import (
    NOWHERE,
    VICTIM,
    RepositoryStage,
    contents_of,
    everywhere,
    fetched_from,
    is_below,
    with_plain_git,
)

ALLOWED: Open[RepositoryStage] = Open("[source] allowed_private", everywhere)
PLAIN: Open[RepositoryStage] = Open("an ordinary git clone of everything", with_plain_git)


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
        arrived = fetched is not None and stage.secret in await contents_of(clone, fetched)
        made = stage.file.with_name("made").exists()
        stage.file.with_name("made").unlink(missing_ok=True)
        if stage.plainly:
            arrived = await asyncio.to_thread(is_below, clone, stage.secret)
        return Got(bool(stage.asked) or arrived or made, said)

    return publish


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
