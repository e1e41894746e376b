"""One remote repository, pinned to one vetted address: find references, fetch commits, follow redirects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Self
from urllib.parse import urljoin

import aiohttp

from stackyn_server.config import SourceSettings
from stackyn_server.domain.failures import DeploymentFailed
from stackyn_server.errors import InvalidRequest
from stackyn_server.outbound.host_vetting import Address
from stackyn_server.outbound.pinned_http import pinned_session
from stackyn_server.source import git, git_failures, refs
from stackyn_server.source.children import Child
from stackyn_server.source.repository_host import reach_host
from stackyn_server.source.repository_url import RepositoryUrl, parse_url

REFS_BYTES = 1 << 20
MOST_REDIRECTS = 3
# Old but harmless faults of well-known repositories, which could not be deployed otherwise.
_TOLERATED = (
    *("zeroPaddedFilemode", "badTimezone", "missingSpaceBeforeDate", "missingNameBeforeEmail"),
    *("missingEmail", "badEmail", "missingSpaceBeforeEmail", "badDate", "badDateOverflow"),
)
_MEGABYTE = 1 << 20
_DISCOVERY = "/info/refs"
_DISCOVERY_QUERY = "?service=git-upload-pack"
_PERMANENT = (HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.PERMANENT_REDIRECT)
_TEMPORARY = (HTTPStatus.FOUND, HTTPStatus.SEE_OTHER, HTTPStatus.TEMPORARY_REDIRECT)

WriteLine = Callable[[str], None]


class Remote:
    """`url` is the address that answered last; `has_moved`: the host redirected to it permanently."""

    def __init__(
        self, settings: SourceSettings, directory: Path, url: RepositoryUrl, address: Address, say: WriteLine
    ) -> None:
        self.url = url
        self.has_moved = False
        self._settings, self._directory, self._address, self._say = settings, directory, address, say
        self._max_bytes = settings.max_mb * _MEGABYTE

    @classmethod
    async def connect(
        cls, settings: SourceSettings, directory: Path, url: RepositoryUrl, say: WriteLine
    ) -> Self:
        """Resolve and vet the host, and choose an address that accepts connections.

        Raises `DeploymentFailed` or `TransientFailure` (SOURCE_REFUSED, SOURCE_UNREACHABLE).
        """
        return cls(settings, directory, url, await reach_host(settings, url), say)

    async def resolve(self, wanted_ref: str) -> refs.Revision:
        """Resolve `wanted_ref` (branch, tag, commit id or HEAD) to the current commit.

        Raises `DeploymentFailed` (SOURCE_EMPTY, REF_NOT_FOUND), `TransientFailure`.
        """
        advertised = await self._references(*refs.ls_remote_patterns(wanted_ref))
        revision = refs.resolve(advertised, wanted_ref)
        if revision is None or refs.is_commit_id(wanted_ref):
            advertised = await self._references()
            if not advertised.ids:
                raise git_failures.empty(self.url.url)
            revision = refs.resolve(advertised, wanted_ref)
        if revision is None:
            raise git_failures.no_such_branch(wanted_ref, advertised.branches)
        return revision

    async def fetch(self, commit: str, into: str, references: Sequence[str] = ()) -> None:
        """Fetch one commit without history, as the reference `into`. When the server serves references only, try
        `references` in order until one leads to the commit."""
        try:
            await self._fetch(commit, into)
        except git.GitFailed as failed:
            if not git_failures.wants_unadvertised(failed):
                raise await self._failure(failed) from failed
            for reference in references:
                with suppress(git.GitFailed):
                    await self._fetch(reference, into)
                    if await git.output(self._directory, ["rev-parse", into]) == f"{commit}\n":
                        return
            raise await self._failure(failed) from failed

    async def _fetch(self, revision: str, into: str) -> None:
        options = ["--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"]
        options += ["--no-auto-maintenance", "--refmap="]
        await self._run(["fetch", *options], f"+{revision}:{into}")

    async def _references(self, *patterns: str) -> refs.RemoteRefs:
        try:
            text = await self._run(["ls-remote", "--quiet", "--symref"], *patterns)
        except git.GitFailed as failed:
            raise await self._failure(failed) from failed
        return refs.parse_ls_remote(text.decode("utf-8", "replace"))

    async def _run(self, command: list[str], *words: str) -> bytes:
        """Run `git <command> -- <url> <words>` and return its output. Raises `git.GitFailed`.

        This method follows redirects within the host. git would follow them to any host.
        """
        for _ in range(MOST_REDIRECTS):
            try:
                return await self._run_once(command, *words)
            except git.GitFailed as failed:
                if not git_failures.is_redirect(failed):
                    raise
                await self._follow_redirect(failed)
        return await self._run_once(command, *words)

    async def _run_once(self, command: list[str], *words: str) -> bytes:
        async with self._child([*command, "--", self.url.url, *words]) as running:
            text = await running.read(REFS_BYTES)
            await running.expect_success()
        return text

    async def _follow_redirect(self, failed: git.GitFailed) -> None:
        """Set `url` to the redirect's target. Raises `failed` when there is no redirect, `DeploymentFailed` for one
        that is not followed."""
        status, location = await self._redirect()
        if status not in (*_PERMANENT, *_TEMPORARY):
            raise failed
        try:
            target = parse_url(
                self._settings, location.removesuffix(_DISCOVERY_QUERY).removesuffix(_DISCOVERY)
            )
        except InvalidRequest as error:
            raise git_failures.redirected(self.url.url, location) from error
        if target.host != self.url.host or (target.scheme, self.url.scheme) == ("http", "https"):
            raise git_failures.redirected(self.url.url, target.url)
        # GitLab redirects an address without .git, which does not mean that the repository has moved.
        is_new_place = target.path.removesuffix(".git") != self.url.path.removesuffix(".git")
        self.has_moved = is_new_place and status in _PERMANENT
        self._say(f"The repository {'has moved to' if self.has_moved else 'answers at'} {target.url}")
        self.url = target

    async def _redirect(self) -> tuple[int, str]:
        """Return the status and the absolute location of the answer to git's first request."""
        first_request = f"{self.url.url}{_DISCOVERY}{_DISCOVERY_QUERY}"
        try:
            async with (
                pinned_session(self._settings, self._address) as session,
                session.get(first_request, allow_redirects=False) as response,
            ):
                return response.status, urljoin(first_request, response.headers.get("Location", ""))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return 0, ""

    def _child(self, arguments: list[str]) -> AbstractAsyncContextManager[Child]:
        host, port = self.url.host, self.url.port
        configuration = [
            "http.followRedirects=false",
            "http.proxy=",
            # Detects a stall, not slowness: a server that packs sends a few bytes every five seconds.
            "http.lowSpeedLimit=1",
            f"http.lowSpeedTime={max(1, round(self._settings.stall_seconds))}",
            "credential.helper=",
            "transfer.fsckObjects=true",
            "transfer.bundleURI=false",
            "fetch.unpackLimit=1",
            *(f"fetch.fsck.{fault}=ignore" for fault in _TOLERATED),
        ]
        if host != str(self._address):
            pinned = f"[{self._address}]" if self._address.version == 6 else str(self._address)
            configuration.append(f"http.curloptResolve={host}:{port}:{pinned}")
        return git.child(
            self._directory,
            arguments,
            configuration=configuration,
            protocols=[self.url.scheme],
            file_bytes=self._max_bytes,
        )

    async def _failure(self, failed: git.GitFailed) -> DeploymentFailed:
        # git does not report that the file size limit ended the process that wrote the pack.
        if await asyncio.to_thread(_largest_unfinished, self._directory) >= self._max_bytes:
            failed = git.GitFailed(failed.returncode, f"{failed.stderr}\n{git_failures.PACK_TOO_LARGE}")
        return git_failures.fetch_failure(failed, url=self.url.url, max_mb=self._settings.max_mb)


def _largest_unfinished(directory: Path) -> int:
    """Return the size in bytes of the largest unfinished pack, 0 without one. git may remove it at any time."""
    largest = 0
    for pack in directory.glob("objects/pack/tmp_pack_*"):
        with suppress(FileNotFoundError):
            largest = max(largest, pack.stat().st_size)
    return largest
