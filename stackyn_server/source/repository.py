"""Fetch exactly one commit of a remote repository into a bare directory. There is never a checkout."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from pathlib import Path

from stackyn_server.config import Source
from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode
from stackyn_server.errors import InvalidRequest
from stackyn_server.source import diagnosis, git
from stackyn_server.source.addresses import RepositoryUrl, parse_url, reach, vet

# The reference is written by git only when the commit and all its files are there, so its presence means "complete".
FETCHED_REF = "refs/stackyn/commit"
REFS_BYTES = 1 << 20
# Its own attributes could otherwise drop a repository's Dockerfile from the archive, or rewrite files in it.
ATTRIBUTES = "** -export-ignore -export-subst\n"

_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
# Old but harmless faults that well-known repositories have; without these they could not be deployed.
_TOLERATED = (
    *("zeroPaddedFilemode", "badTimezone", "missingSpaceBeforeDate", "missingNameBeforeEmail"),
    *("missingEmail", "badEmail", "missingSpaceBeforeEmail", "badDate", "badDateOverflow"),
)
_MEGABYTE = 1 << 20

Say = Callable[[str], None]


async def fetch(
    settings: Source, directory: Path, url: str, branch: str, commit: str | None, say: Say
) -> str:
    """Fetch `commit`, or the tip of `branch`, into the bare repository `directory` and return its full id.

    Safe to repeat: a complete earlier fetch of the same commit is used, a half-finished one is thrown away. `say` gets
    lines for the build log. Raises `DeploymentFailed` or `TransientFailure` with REF_NOT_FOUND, SOURCE_EMPTY,
    SOURCE_TOO_LARGE, SOURCE_REFUSED, SOURCE_UNREACHABLE or NO_DISK. When cancelled, no git process is left.
    """
    if commit is not None and await _fetched(directory) == commit:
        return commit
    target = _checked(settings, url)
    addresses = await vet(settings, target)
    remote = _Remote(settings, directory, target, str(await reach(settings, target, addresses)), say)
    await _start_over(directory, "sha1")
    say(f"Fetching {target.url}, " + (f"commit {commit}" if commit else f"branch {branch}"))
    wanted = commit or await remote.tip(branch)
    if len(wanted) != 40:
        await _start_over(directory, "sha256")
    await remote.fetch(wanted, branch, is_fixed=commit is not None)
    fetched = await _fetched(directory)
    if fetched is None:
        raise diagnosis.unreadable(git.GitFailed(0, "the fetched reference is missing"))
    say(f"Fetched commit {fetched}")
    return fetched


async def remove(directory: Path) -> None:
    """Delete a fetched copy; one that is not there is fine."""
    await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)


class _Remote:
    """One remote repository, pinned to one vetted address."""

    def __init__(self, settings: Source, directory: Path, url: RepositoryUrl, address: str, say: Say) -> None:
        self.settings, self.directory, self.url, self.address = settings, directory, url, address
        self.say = say
        self.max_bytes = settings.max_mb * _MEGABYTE

    async def tip(self, branch: str) -> str:
        """Return the commit id at which `branch` is now."""
        name = f"refs/heads/{branch}"
        if sha := (await self._refs(name)).get(name):
            return sha
        refs = await self._refs()
        if not refs:
            raise diagnosis.empty(self.url.url)
        heads = sorted(name.removeprefix("refs/heads/") for name in refs if name.startswith("refs/heads/"))
        raise diagnosis.no_such_branch(branch, heads)

    async def fetch(self, sha: str, branch: str, *, is_fixed: bool) -> None:
        """Fetch one commit. A server that gives out branches only is asked for the branch, whose commit is checked."""
        try:
            await self._fetch(sha)
        except git.GitFailed as failed:
            if not diagnosis.wants_unadvertised(failed):
                raise await self._explained(failed) from failed
            try:
                await self._fetch(f"refs/heads/{branch}")
            except git.GitFailed:
                raise await self._explained(failed) from failed
            if is_fixed and await _fetched(self.directory) != sha:
                await remove(self.directory)
                raise await self._explained(failed) from failed

    async def _fetch(self, what: str) -> None:
        options = ["--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"]
        options += ["--no-auto-maintenance", "--refmap="]
        await self._run(["fetch", *options], f"+{what}:{FETCHED_REF}")

    async def _refs(self, *patterns: str) -> dict[str, str]:
        try:
            text = await self._run(["ls-remote", "--quiet"], *patterns)
        except git.GitFailed as failed:
            raise await self._explained(failed) from failed
        lines = (line.partition("\t") for line in text.decode("utf-8", "replace").splitlines())
        return {name: sha for sha, _, name in lines if _SHA.fullmatch(sha)}

    async def _run(self, command: list[str], *words: str) -> bytes:
        """Run `git <command> -- <url> <words>` and return what it said; raises `git.GitFailed`."""
        try:
            return await self._run_once(command, *words)
        except git.GitFailed as failed:
            # Some hosts (GitLab) redirect a URL without .git to the one with it; that one needs no redirect.
            if not diagnosis.is_redirect(failed) or self.url.path.endswith(".git"):
                raise
        self.url = replace(self.url, path=f"{self.url.path}.git")
        self.say(f"The host redirects, trying {self.url.url}")
        return await self._run_once(command, *words)

    async def _run_once(self, command: list[str], *words: str) -> bytes:
        async with self._child([*command, "--", self.url.url, *words]) as running:
            text = await running.read(REFS_BYTES)
            await running.succeeded()
        return text

    def _child(
        self, arguments: list[str], file_bytes: int | None = None
    ) -> AbstractAsyncContextManager[git.Child]:
        host, port = self.url.host, self.url.port
        configuration = [
            "http.followRedirects=false",
            "http.proxy=",
            # A stall, not slowness: while a server packs, it sends a few bytes every five seconds.
            "http.lowSpeedLimit=1",
            f"http.lowSpeedTime={max(1, round(self.settings.stall_seconds))}",
            "credential.helper=",
            "transfer.fsckObjects=true",
            "transfer.bundleURI=false",
            "fetch.unpackLimit=1",
            *(f"fetch.fsck.{fault}=ignore" for fault in _TOLERATED),
        ]
        if host != self.address:
            pinned = f"[{self.address}]" if ":" in self.address else self.address
            configuration.append(f"http.curloptResolve={host}:{port}:{pinned}")
        return git.child(
            self.directory,
            arguments,
            configuration=configuration,
            protocols=[self.url.scheme],
            file_bytes=self.max_bytes,
        )

    async def _explained(self, failed: git.GitFailed) -> DeploymentFailed:
        # git doesn't say that the limit on its files ended the child that wrote the pack.
        if await asyncio.to_thread(_largest_unfinished, self.directory) >= self.max_bytes:
            failed = git.GitFailed(failed.returncode, f"{failed.stderr}\n{diagnosis.PACK_TOO_LARGE}")
        return diagnosis.of_fetch(failed, url=self.url.url, max_mb=self.settings.max_mb)


def _largest_unfinished(directory: Path) -> int:
    """Return its size in bytes, 0 without one. Git may remove it at any time."""
    largest = 0
    for pack in directory.glob("objects/pack/tmp_pack_*"):
        with suppress(FileNotFoundError):
            largest = max(largest, pack.stat().st_size)
    return largest


def _checked(settings: Source, url: str) -> RepositoryUrl:
    """Check the stored URL again: the settings may have become stricter since the app was created."""
    try:
        return parse_url(settings, url)
    except InvalidRequest as error:
        raise DeploymentFailed(
            Failure(FailureCode.SOURCE_REFUSED, error.message, "Create the app with another repository URL.")
        ) from error


async def _fetched(directory: Path) -> str | None:
    """Return the commit that is completely there, or None."""
    if not await asyncio.to_thread((directory / "HEAD").exists):
        return None
    try:
        sha = await git.output(directory, ["rev-parse", "--verify", "--quiet", f"{FETCHED_REF}^{{commit}}"])
    except git.GitFailed:
        return None
    return sha.strip() or None


async def _start_over(directory: Path, object_format: str) -> None:
    await remove(directory)
    await asyncio.to_thread(directory.parent.mkdir, parents=True, exist_ok=True)
    arguments = ["init", "--quiet", "--bare", "--template=", f"--object-format={object_format}"]
    try:
        await git.output(directory, arguments)
    except git.GitFailed as failed:
        raise diagnosis.of_fetch(failed, url="", max_mb=0) from failed
    await asyncio.to_thread(_write_attributes, directory)


def _write_attributes(directory: Path) -> None:
    (directory / "info").mkdir(exist_ok=True)
    (directory / "info" / "attributes").write_text(ATTRIBUTES)
