"""Complete a commit's tree with its submodules and Git LFS objects, so that no build gets placeholders.

The result is a tree object beside the commit, made in a bare repository's index. Everything that reads a commit can
read it.
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
_LISTING_BYTES = 256 << 20  # `list_files` bounds the number and length of paths before
_MEGABYTE = 1 << 20


@dataclass(slots=True)
class _TreeAdditions:
    """What is added to the tree: submodules as (path, commit), files as (path, mode, object id)."""

    commits: list[tuple[str, str]] = field(default_factory=list)
    files: list[tuple[str, int, str]] = field(default_factory=list)


async def complete_tree(
    settings: SourceSettings, directory: Path, url: RepositoryUrl, commit: str, say: WriteLine
) -> str:
    """Fetch the submodules and LFS objects of `commit` into `directory` and return the id of the complete tree.

    Every address is vetted like the repository's own; `max_mb` and `max_files` apply to everything together. Raises
    `DeploymentFailed` naming what could not be fetched, `TransientFailure` when a host fails.
    """
    additions = _TreeAdditions()
    await _collect(settings, directory, url, commit, "", 0, additions, say)
    try:
        if not additions.commits and not additions.files:
            return (await git.output(directory, ["rev-parse", f"{commit}^{{tree}}"])).strip()
        await git.output(directory, ["read-tree", commit])
        for path, submodule_commit in additions.commits:
            await _update_index(directory, [f"0 {'0' * len(commit)}\t{path}"])
            await _add_below(directory, path, submodule_commit)
        await _update_index(directory, [f"{mode:o} {name}\t{path}" for path, mode, name in additions.files])
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
    additions: _TreeAdditions,
    say: WriteLine,
) -> None:
    tree = await list_files(settings, directory, commit)
    for file in await lfs.fetch_objects(settings, directory, url, commit, tree, say):
        additions.files.append((prefix + file.path, file.mode, file.name))
    if not tree.submodules:
        return
    addresses = await submodules.submodule_urls(settings, directory, url, commit, tree)
    if depth == DEEPEST_SUBMODULE or len(additions.commits) + len(addresses) > MOST_SUBMODULES:
        raise submodules.too_many(MOST_SUBMODULES, DEEPEST_SUBMODULE)
    for path, address in addresses.items():
        submodule_commit = tree.submodules[path]
        say(f"Fetching submodule {prefix}{path}: {address.url}, commit {submodule_commit}")
        try:
            remote = await Remote.connect(settings, directory, address, say)
            await remote.fetch(
                submodule_commit, f"refs/stackyn/submodules/{len(additions.commits)}", ("HEAD",)
            )
        except DeploymentFailed as error:
            raise submodules.not_fetched(prefix + path, error) from error
        if await git.size_of_packs(directory) > settings.max_mb * _MEGABYTE:
            raise git_failures.files_too_large(settings.max_mb)
        additions.commits.append((prefix + path, submodule_commit))
        await _collect(
            settings, directory, remote.url, submodule_commit, f"{prefix}{path}/", depth + 1, additions, say
        )


async def _add_below(directory: Path, path: str, commit: str) -> None:
    """Add a commit's files to the index below `path`. `read-tree --prefix` would need a work tree."""
    async with git.child(directory, ["ls-tree", "-r", "-z", "--full-tree", commit]) as running:
        listing = await running.read(_LISTING_BYTES)
        await running.expect_success()

    def lines_below() -> list[str]:
        lines = listing.decode("utf-8", "surrogateescape").split("\0")[:-1]
        return [f"{facts}\t{path}/{name}" for facts, _, name in (line.partition("\t") for line in lines)]

    await _update_index(directory, await asyncio.to_thread(lines_below))


async def _update_index(directory: Path, lines: list[str]) -> None:
    if lines:
        text = "".join(f"{line}\0" for line in lines).encode("utf-8", "surrogateescape")
        arguments = ["update-index", "-z", "--index-info"]
        async with git.child(directory, arguments, stdin=asyncio.subprocess.PIPE) as running:
            await running.write(text)
            running.end_input()
            await running.read(0)
            await running.expect_success()
