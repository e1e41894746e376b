"""Resolve an app's `branch` setting to a commit, among the references of a remote repository. Pure.

Source: git-ls-remote(1), gitrevisions(7).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

HEAD = "HEAD"  # the branch setting of an app whose owner named none
CONSOLE_DEFAULT = "main"  # the consoles send it when their user typed nothing
_HEADS, _TAGS, _PEELED = "refs/heads/", "refs/tags/", "^{}"
_USUAL_DEFAULTS = ("main", "master")
_COMMIT_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True, slots=True)
class RemoteRefs:
    """The output of `git ls-remote --symref`: object ids by reference name, and the branch that HEAD points to."""

    ids: Mapping[str, str]
    head: str | None

    @property
    def branches(self) -> list[str]:
        return sorted(name.removeprefix(_HEADS) for name in self.ids if name.startswith(_HEADS))


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit to fetch. `ref` is the reference that leads to it, for servers that serve references only; `branch` is
    the app's setting with HEAD resolved; `note` is a sentence for the build log, or ""."""

    commit: str
    ref: str | None
    branch: str
    note: str = ""


def is_commit_id(text: str) -> bool:
    return _COMMIT_ID.fullmatch(text) is not None


def ls_remote_patterns(wanted_ref: str) -> tuple[str, ...]:
    """Return the patterns for `git ls-remote` that suffice in the usual case."""
    if wanted_ref == HEAD:
        return (HEAD,)
    return (_HEADS + wanted_ref, _TAGS + wanted_ref, _TAGS + wanted_ref + _PEELED)


def references_to(branch: str) -> tuple[str, ...]:
    """Return the references that may lead to a known commit of `branch`."""
    if branch == HEAD or is_commit_id(branch):
        return (HEAD,)
    return (_HEADS + branch, _TAGS + branch)


def parse_ls_remote(text: str) -> RemoteRefs:
    ids: dict[str, str] = {}
    head = None
    for line in text.splitlines():
        left, _, name = line.partition("\t")
        if left.startswith(f"ref: {_HEADS}") and name == HEAD:
            head = left.removeprefix(f"ref: {_HEADS}")
        elif is_commit_id(left):
            ids[name] = left
    return RemoteRefs(ids, head)


def resolve(advertised: RemoteRefs, wanted_ref: str) -> Revision | None:
    """Return what `wanted_ref` (a branch, a tag, a full commit id, or HEAD) means; None when the repository lacks it.

    A branch wins over a tag of the same name, as in git. When there is no `main`, which a console may have
    filled in, the only branch of the repository is used.
    """
    ids = advertised.ids
    if wanted_ref == HEAD:
        return _of_head(advertised)
    if commit := ids.get(_HEADS + wanted_ref):
        return Revision(commit, _HEADS + wanted_ref, wanted_ref)
    if commit := ids.get(_TAGS + wanted_ref + _PEELED) or ids.get(_TAGS + wanted_ref):
        return Revision(commit, _TAGS + wanted_ref, wanted_ref)
    if is_commit_id(wanted_ref):
        return Revision(wanted_ref, None, wanted_ref)
    if wanted_ref == CONSOLE_DEFAULT and len(advertised.branches) == 1:
        (only,) = advertised.branches
        note = f"The repository has no branch {wanted_ref}: its only branch, {only}, is deployed."
        return Revision(ids[_HEADS + only], _HEADS + only, wanted_ref, note)
    return None


def _of_head(advertised: RemoteRefs) -> Revision | None:
    """Resolve HEAD. When its branch was never pushed, the only branch or a usual default is used."""
    ids, branches = advertised.ids, advertised.branches
    if commit := ids.get(HEAD):
        name = advertised.head or next(
            (branch for branch in branches if ids[_HEADS + branch] == commit), HEAD
        )
        return Revision(
            commit, HEAD, name, f"The repository's default branch is {name}." if name != HEAD else ""
        )
    usual = branches if len(branches) == 1 else [name for name in _USUAL_DEFAULTS if name in branches]
    if not usual:
        return None
    note = f"The repository names no default branch: {usual[0]} is deployed."
    return Revision(ids[_HEADS + usual[0]], _HEADS + usual[0], usual[0], note)
