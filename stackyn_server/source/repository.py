"""Fetch one complete commit of a remote repository into a bare directory. There is never a checkout."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path

from stackyn_server.config import SourceSettings
from stackyn_server.domain.failures import DeploymentFailed, FailureCode
from stackyn_server.errors import InvalidRequest
from stackyn_server.source import git, git_failures, refs
from stackyn_server.source.completion import complete_tree
from stackyn_server.source.remote import Remote, WriteLine
from stackyn_server.source.repository_url import RepositoryUrl, parse_url

FETCHED_REF = "refs/stackyn/commit"
# The tree of the commit with its submodules and LFS objects. It is written last, so it marks a complete fetch.
TREE_REF = "refs/stackyn/tree"
# A repository's own attributes could otherwise drop its Dockerfile from the archive, or rewrite files.
ATTRIBUTES = "** -export-ignore -export-subst\n"


@dataclass(frozen=True, slots=True)
class FetchedCommit:
    """`tree` is what is built: the commit's files with its submodules and LFS objects. `branch` is the setting with
    HEAD resolved; `moved_to` is the new address of a repository that has moved permanently, or None."""

    commit: str
    tree: str
    branch: str
    moved_to: str | None = None


async def fetch(
    settings: SourceSettings, directory: Path, url: str, branch: str, commit: str | None, say: WriteLine
) -> FetchedCommit:
    """Fetch `commit`, or the current commit of `branch` (a branch, tag, commit id or HEAD), into the bare `directory`.

    Idempotent: a complete earlier fetch of the same commit is used, an incomplete one is removed. `say` gets lines for
    the build log. Raises `DeploymentFailed` or `TransientFailure` with REF_NOT_FOUND, SOURCE_EMPTY,
    SOURCE_TOO_LARGE, SOURCE_REFUSED, SOURCE_UNREACHABLE or NO_DISK. A cancellation ends all git processes.
    """
    if commit is not None and (tree := await _complete_tree(directory, commit)) is not None:
        return FetchedCommit(commit, tree, branch)
    remote = await Remote.connect(settings, directory, _checked(settings, url), say)
    await _start_over(directory, "sha1")
    say(f"Fetching {remote.url.url}, " + (f"commit {commit}" if commit else f"branch {branch}"))
    revision = refs.Revision(commit, None, branch) if commit else await remote.resolve(branch)
    if revision.note:
        say(revision.note)
    if len(revision.commit) != 40:
        await _start_over(directory, "sha256")
    try:
        await remote.fetch(
            revision.commit, FETCHED_REF, (revision.ref,) if revision.ref else refs.references_to(branch)
        )
    except DeploymentFailed:
        await remove(directory)
        raise
    say(f"Fetched commit {revision.commit}")
    tree = await complete_tree(settings, directory, remote.url, revision.commit, say)
    await git.output(directory, ["update-ref", TREE_REF, tree])
    return FetchedCommit(revision.commit, tree, revision.branch, remote.url.url if remote.has_moved else None)


async def remove(directory: Path) -> None:
    """Delete a fetched copy. An absent one is success."""
    await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)


def _checked(settings: SourceSettings, url: str) -> RepositoryUrl:
    """Check the stored URL again: the settings may be stricter than when the app was created."""
    try:
        return parse_url(settings, url)
    except InvalidRequest as error:
        raise DeploymentFailed.of(
            FailureCode.SOURCE_REFUSED, error.message, "Create the app with another repository URL."
        ) from error


async def _complete_tree(directory: Path, commit: str) -> str | None:
    """Return the tree of a complete earlier fetch of `commit`, or None."""
    if not await asyncio.to_thread((directory / "HEAD").exists):
        return None
    arguments = ["rev-parse", "--verify", "--quiet"]
    try:
        fetched = await git.output(directory, [*arguments, f"{FETCHED_REF}^{{commit}}"])
        tree = await git.output(directory, [*arguments, f"{TREE_REF}^{{tree}}"])
    except git.GitFailed:
        return None
    return tree.strip() if fetched.strip() == commit else None


async def _start_over(directory: Path, object_format: str) -> None:
    await remove(directory)
    await asyncio.to_thread(directory.parent.mkdir, parents=True, exist_ok=True)
    arguments = ["init", "--quiet", "--bare", "--template=", f"--object-format={object_format}"]
    try:
        await git.output(directory, arguments)
    except git.GitFailed as failed:
        raise git_failures.fetch_failure(failed, url="", max_mb=0) from failed
    await asyncio.to_thread(_write_attributes, directory)


def _write_attributes(directory: Path) -> None:
    (directory / "info").mkdir(exist_ok=True)
    (directory / "info" / "attributes").write_text(ATTRIBUTES)
