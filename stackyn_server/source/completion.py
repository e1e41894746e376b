"""What a commit names and does not hold, its submodules and Git LFS objects, put in place: nothing half-empty is built.

The result is a tree object beside the commit, made in a bare repository's index, so everything that reads a commit
reads it as well.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from stackyn_server.config import SourceSettings
from stackyn_server.domain.failures import DeploymentFailed
from stackyn_server.source import git, git_failures, lfs, submodules
from stackyn_server.source.remote import Remote, WriteLine
from stackyn_server.source.repository_url import RepositoryUrl
from stackyn_server.source.tree import list_files

MOST_SUBMODULES = 50
DEEPEST_SUBMODULE = 5
_LISTING_BYTES = 256 << 20  # `list_files` has bounded number and length of the paths before
_MEGABYTE = 1 << 20


@dataclass(slots=True)
class _Parts:
    """What goes into the tree: submodules as (path, commit), files as (path, mode, object id)."""

    commits: list[tuple[str, str]] = field(default_factory=list)
    files: list[tuple[str, int, str]] = field(default_factory=list)


async def complete_tree(
    settings: SourceSettings, directory: Path, url: RepositoryUrl, commit: str, say: WriteLine
) -> str:
    """Return the id of the tree of `commit` with its submodules and LFS objects, which are fetched into `directory`.

    Every address is vetted like the repository's own, and all together obey `max_mb` and `max_files`. Raises
    `DeploymentFailed` naming what could not be had, `TransientFailure` when a host is in trouble.
    """
    parts = _Parts()
    await _collect(settings, directory, url, commit, "", 0, parts, say)
    try:
        if not parts.commits and not parts.files:
            return (await git.output(directory, ["rev-parse", f"{commit}^{{tree}}"])).strip()
        await git.output(directory, ["read-tree", commit])
        for path, other in parts.commits:
            await _update_index(directory, [f"0 {'0' * len(commit)}\t{path}"])
            await _add_below(directory, path, other)
        await _update_index(directory, [f"{mode:o} {name}\t{path}" for path, mode, name in parts.files])
        return (await git.output(directory, ["write-tree"])).strip()
    except git.GitFailed as failed:
        raise git_failures.unreadable(failed) from failed


async def _collect(
    settings: SourceSettings,
    directory: Path,
    url: RepositoryUrl,
    commit: str,
    prefix: str,
    depth: int,
    parts: _Parts,
    say: WriteLine,
) -> None:
    tree = await list_files(settings, directory, commit)
    for stored in await lfs.fetch_objects(settings, directory, url, commit, tree, say):
        parts.files.append((prefix + stored.path, stored.mode, stored.name))
    if not tree.submodules:
        return
    addresses = await submodules.submodule_urls(settings, directory, url, commit, tree)
    if depth == DEEPEST_SUBMODULE or len(parts.commits) + len(addresses) > MOST_SUBMODULES:
        raise submodules.too_many(MOST_SUBMODULES, DEEPEST_SUBMODULE)
    for path, address in addresses.items():
        other = tree.submodules[path]
        say(f"Fetching submodule {prefix}{path}: {address.url}, commit {other}")
        try:
            remote = await Remote.connect(settings, directory, address, say)
            await remote.fetch(other, f"refs/stackyn/submodules/{len(parts.commits)}", ("HEAD",))
        except DeploymentFailed as error:
            raise submodules.not_fetched(prefix + path, error) from error
        if await git.size_of_packs(directory) > settings.max_mb * _MEGABYTE:
            raise git_failures.files_too_large(settings.max_mb)
        parts.commits.append((prefix + path, other))
        await _collect(settings, directory, remote.url, other, f"{prefix}{path}/", depth + 1, parts, say)


async def _add_below(directory: Path, path: str, commit: str) -> None:
    """Add a commit's files to the index below `path`; `read-tree --prefix` would want a work tree."""
    async with git.child(directory, ["ls-tree", "-r", "-z", "--full-tree", commit]) as running:
        listing = await running.read(_LISTING_BYTES)
        await running.expect_success()

    def moved() -> list[str]:
        lines = listing.decode("utf-8", "surrogateescape").split("\0")[:-1]
        return [f"{facts}\t{path}/{name}" for facts, _, name in (line.partition("\t") for line in lines)]

    await _update_index(directory, await asyncio.to_thread(moved))


async def _update_index(directory: Path, lines: list[str]) -> None:
    if lines:
        text = "".join(f"{line}\0" for line in lines).encode("utf-8", "surrogateescape")
        arguments = ["update-index", "-z", "--index-info"]
        async with git.child(directory, arguments, stdin=asyncio.subprocess.PIPE) as running:
            await running.write(text)
            running.end_input()
            await running.read(0)
            await running.expect_success()
