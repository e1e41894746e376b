"""Fetch Git LFS objects: the contents of files for which a commit holds only pointers.

Source: the Git LFS specification (pointer files, `docs/spec.md`; batch API, `docs/api/batch.md`; server discovery).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp

from stackyn_server.config import SourceSettings
from stackyn_server.domain.failures import DeploymentFailed, FailureCode, TransientFailure
from stackyn_server.errors import InvalidRequest
from stackyn_server.outbound.pinned_http import pinned_session
from stackyn_server.source import git, git_failures
from stackyn_server.source.remote import WriteLine
from stackyn_server.source.repository_host import reach_host
from stackyn_server.source.repository_url import RepositoryUrl, parse_origin, parse_url
from stackyn_server.source.tree import CommitTree, read_files

ATTRIBUTES = ".gitattributes"
CONFIGURATION = ".lfsconfig"
MOST_ATTRIBUTE_FILES = 200
BATCH = 100  # objects in one request, as the specification recommends
MEDIA_TYPE = "application/vnd.git-lfs+json"
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-[^\n]*\n)*oid sha256:([0-9a-f]{64})\nsize ([0-9]{1,15})\n?"
)
_POINTER_BYTES = range(100, 1024)
_ANSWER_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 20
_NAME_BYTES = 1_024
_MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Pointer:
    """`oid` is the SHA-256 of the contents, `size` in bytes."""

    oid: str
    size: int


@dataclass(frozen=True, slots=True)
class LfsFile:
    """A file whose contents are in the bare repository: its path, git's mode, the object's id."""

    path: str
    mode: int
    name: str


def parse_pointer(content: bytes) -> Pointer | None:
    """Return the pointer in a file's content, None when it is no pointer."""
    match = _POINTER.fullmatch(content)
    return Pointer(match[1].decode(), int(match[2])) if match else None


async def fetch_objects(
    settings: SourceSettings,
    directory: Path,
    url: RepositoryUrl,
    commit: str,
    tree: CommitTree,
    say: WriteLine,
) -> list[LfsFile]:
    """Fetch the objects that a commit's pointers name into the bare repository `directory`.

    Raises `DeploymentFailed` (SOURCE_UNREACHABLE, SOURCE_TOO_LARGE, SOURCE_REFUSED) or `TransientFailure`.
    """
    pointers = await _pointers(directory, commit, tree)
    if not pointers:
        return []
    by_oid = {pointer.oid: (path, pointer) for path, pointer in pointers.items()}
    total_bytes = sum(pointer.size for _, pointer in by_oid.values())
    if total_bytes > settings.max_mb * _MEGABYTE:
        raise git_failures.files_too_large(settings.max_mb)
    say(f"Fetching {len(by_oid)} Git LFS objects, {total_bytes / _MEGABYTE:.1f} MB")
    server = await _LfsServer.of_repository(settings, directory, url, commit)
    names: dict[str, str] = {}
    oids = list(by_oid)
    for start in range(0, len(oids), BATCH):
        batch = [by_oid[oid] for oid in oids[start : start + BATCH]]
        actions = await server.ask(batch)
        for path, pointer in batch:
            file = directory / "lfs-object"
            await server.download(path, pointer, actions.get(pointer.oid, {}), file)
            names[pointer.oid] = await _store(directory, file)
    return [LfsFile(path, tree.files[path].mode, names[pointer.oid]) for path, pointer in pointers.items()]


async def _pointers(directory: Path, commit: str, tree: CommitTree) -> dict[str, Pointer]:
    """Return the pointers among a commit's files; none when no `.gitattributes` uses LFS."""
    attributes = [path for path in tree.files if path.rpartition("/")[2] == ATTRIBUTES]
    if not attributes:
        return {}
    texts = await read_files(directory, commit, attributes[:MOST_ATTRIBUTE_FILES])
    if not any(b"filter=lfs" in text for text in texts.values()):
        return {}
    small = [
        path for path, entry in tree.files.items() if entry.size in _POINTER_BYTES and not entry.is_symlink
    ]
    parsed = (
        (path, parse_pointer(content))
        for path, content in (await read_files(directory, commit, small)).items()
    )
    return {path: pointer for path, pointer in parsed if pointer is not None}


async def _store(directory: Path, file: Path) -> str:
    """Store a file's contents in the bare repository, delete the file, and return the object's id."""
    try:
        arguments = ["hash-object", "-w", "--no-filters", "--", str(file)]
        async with git.child(directory, arguments, configuration=["core.looseCompression=0"]) as running:
            name = (await running.read(_NAME_BYTES)).decode("ascii", "replace").strip()
            await running.expect_success()
        return name
    except git.GitFailed as failed:
        raise git_failures.unreadable(failed) from failed
    finally:
        await asyncio.to_thread(file.unlink, missing_ok=True)


class _LfsServer:
    """The LFS server of one repository."""

    def __init__(self, settings: SourceSettings, url: RepositoryUrl) -> None:
        self._settings, self._url = settings, url

    @classmethod
    async def of_repository(
        cls, settings: SourceSettings, directory: Path, url: RepositoryUrl, commit: str
    ) -> _LfsServer:
        """Return the server that `.lfsconfig` names, else the one at the repository's own address."""
        try:
            configured = await git.output(
                directory, ["config", f"--blob={commit}:{CONFIGURATION}", "--get", "lfs.url"]
            )
        except git.GitFailed:
            path = url.path if url.path.endswith(".git") else f"{url.path}.git"
            return cls(settings, RepositoryUrl(url.scheme, url.host, url.port, f"{path}/info/lfs"))
        try:
            return cls(settings, parse_url(settings, configured.strip()))
        except InvalidRequest as error:
            message = f"The address of the Git LFS server in {CONFIGURATION} can't be used. {error.message}"
            raise DeploymentFailed.of(
                FailureCode.SOURCE_REFUSED, message, "Change or remove `lfs.url`, then push again."
            ) from error

    async def ask(self, batch: Sequence[tuple[str, Pointer]]) -> dict[str, Mapping[str, Any]]:
        """Return the download action of each object by its id: `href` and `header` of the batch API, or `error`."""
        body = {
            "operation": "download",
            "transfers": ["basic"],
            "objects": [{"oid": pointer.oid, "size": pointer.size} for _, pointer in batch],
            "hash_algo": "sha256",
        }
        first = batch[0][0]
        headers = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE}
        async with (
            self._session(first, self._url) as session,
            session.post(
                f"{self._url.url}/objects/batch",
                data=json.dumps(body),
                headers=headers,
                allow_redirects=False,
            ) as response,
        ):
            text = await _bounded(response)
            if response.status != HTTPStatus.OK:
                raise _not_fetched(
                    first, f"{self._url.host} answered with status {response.status}.", response.status
                )
        try:
            objects = {str(listed["oid"]): listed for listed in json.loads(text)["objects"]}
            return {
                oid: (listed.get("actions") or {}).get("download") or {"error": listed.get("error")}
                for oid, listed in objects.items()
            }
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _not_fetched(first, f"{self._url.host} gave an answer that is not Git LFS.") from error

    async def download(self, path: str, pointer: Pointer, action: Mapping[str, Any], file: Path) -> None:
        """Download an object to `file` and check it against its pointer."""
        href, headers = action.get("href"), action.get("header") or {}
        if not isinstance(href, str) or not isinstance(headers, dict):
            raise _not_fetched(path, f"{self._url.host} does not have it.")
        try:
            origin = parse_origin(self._settings, href)
        except InvalidRequest as error:
            raise _not_fetched(path, "Its address can't be used.") from error
        async with (
            self._session(path, origin) as session,
            session.get(
                href, headers={str(k): str(v) for k, v in headers.items()}, allow_redirects=False
            ) as response,
        ):
            if response.status != HTTPStatus.OK:
                raise _not_fetched(
                    path, f"{origin.host} answered with status {response.status}.", response.status
                )
            digest = await _write(response.content, file, pointer.size)
        if digest != pointer.oid:
            await asyncio.to_thread(file.unlink, missing_ok=True)
            raise _not_fetched(path, f"What {origin.host} sent is not the file that was committed.")

    @asynccontextmanager
    async def _session(self, path: str, url: RepositoryUrl) -> AsyncIterator[aiohttp.ClientSession]:
        async with pinned_session(self._settings, await reach_host(self._settings, url)) as session:
            try:
                yield session
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                status = HTTPStatus.BAD_GATEWAY
                raise _not_fetched(path, f"{url.host} does not answer as it should.", status) from error


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    text = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        text += chunk
        if len(text) > _ANSWER_BYTES:
            raise ValueError("the answer is too long")
    return bytes(text)


async def _write(stream: aiohttp.StreamReader, file: Path, size: int) -> str:
    """Write the stream to `file` and return its SHA-256. Stop when it is longer than `size` bytes: the digest
    differs."""
    digest, written = hashlib.sha256(), 0
    target = await asyncio.to_thread(file.open, "wb")
    try:
        async for chunk in stream.iter_chunked(_CHUNK_BYTES):
            written += len(chunk)
            digest.update(chunk)
            if written > size:
                break
            await asyncio.to_thread(target.write, chunk)
    finally:
        await asyncio.to_thread(target.close)
    return digest.hexdigest()


def _not_fetched(path: str, why: str, status: int = HTTPStatus.NOT_FOUND) -> DeploymentFailed:
    is_passing = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS
    kind = TransientFailure if is_passing else DeploymentFailed
    return kind.of(
        FailureCode.SOURCE_UNREACHABLE,
        f"The contents of {path} are in Git LFS and could not be fetched. {why}",
        "Push them with `git lfs push --all`, and check that the repository is public and has LFS quota left, "
        "or commit the file itself; then deploy again.",
    )
