"""Find the addresses of a commit's submodules in its `.gitmodules`.

Source: gitmodules(5); git-submodule(1) on relative URLs.
"""

from __future__ import annotations

import re
from pathlib import Path

from stackyn_server.config import SourceSettings
from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode, TransientFailure
from stackyn_server.errors import InvalidRequest
from stackyn_server.source import git
from stackyn_server.source.repository_url import RepositoryUrl, parse_url
from stackyn_server.source.tree import CommitTree

FILE = ".gitmodules"
_CONFIGURATION_BYTES = 256 << 10
_KEY = re.compile(r"submodule\.(.+)\.(path|url)", re.DOTALL)
# git@host:owner/name.git and ssh://git@host/owner/name.git: public repositories answer at https too.
_SSH = re.compile(r"(?:ssh://)?(?:[\w.-]+@)?([A-Za-z0-9.-]+)(?::(?!//)|/)(?:\d+/)?(.+)")


async def submodule_urls(
    settings: SourceSettings, directory: Path, url: RepositoryUrl, commit: str, tree: CommitTree
) -> dict[str, RepositoryUrl]:
    """Return the address of each submodule of `tree` by its path; `url` is the base of relative addresses.

    Raises `DeploymentFailed` (SOURCE_REFUSED) for a submodule without an address, or with a forbidden one.
    """
    text = b""
    if FILE in tree.files:
        arguments = [
            "config",
            f"--blob={commit}:{FILE}",
            "-z",
            "--get-regexp",
            r"^submodule\..*\.(path|url)$",
        ]
        try:
            async with git.child(directory, arguments) as running:
                text = await running.read(_CONFIGURATION_BYTES)
                await running.expect_success()
        except git.GitFailed as failed:
            raise _refused(f"The file {FILE} can't be read.", "Repair it, then push again.") from failed
    addresses = _by_path(text.decode("utf-8", "surrogateescape"))
    urls = {}
    for path in tree.submodules:
        if path not in addresses:
            raise _refused(
                f"The folder {path} is a link to a commit of another repository, and {FILE} does not name that.",
                f"Add it with `git submodule add`, or remove the link with `git rm --cached {path}`, then push again.",
            )
        try:
            urls[path] = parse_url(settings, absolute_url(url, addresses[path]))
        except InvalidRequest as error:
            raise _refused(
                f"The address of the submodule {path} can't be used. {error.message}",
                f"Change its `url` in {FILE} to the https:// address of a public repository, then push again.",
            ) from error
    return urls


def absolute_url(base: RepositoryUrl, url: str) -> str:
    """Return a submodule's absolute URL: a relative one is resolved as git does, an SSH address becomes https."""
    if url.startswith(("./", "../")):
        members = base.path.strip("/").split("/")
        while url.startswith(("./", "../")):
            step, _, url = url.partition("/")
            members = members[:-1] if step == ".." else members
        return f"{base.scheme}://{base.authority}/{'/'.join([*members, url])}"
    is_ssh = "://" not in url or url.startswith("ssh://")
    if is_ssh and (ssh := _SSH.fullmatch(url)):
        return f"https://{ssh[1]}/{ssh[2]}"
    return url


def not_fetched(path: str, error: DeploymentFailed) -> DeploymentFailed:
    """Explain that the fetch of a submodule failed."""
    failure = error.failure
    kind = TransientFailure if isinstance(error, TransientFailure) else DeploymentFailed
    return kind.of(
        failure.code,
        f"The submodule {path} could not be fetched. {failure.message}",
        f"Make its repository public and push the commit that is used, or remove it from {FILE}. {failure.hint}",
        failure.evidence,
    )


def too_many(most: int, deepest: int) -> DeploymentFailed:
    return _refused(
        f"The repository has more than {most} submodules, or submodules nested more than {deepest} deep.",
        "Use fewer, then deploy again.",
    )


def _by_path(text: str) -> dict[str, str]:
    """Read git's output: records of `<key>\\n<value>`, each ended by NUL. Of two values the last one counts."""
    values: dict[str, dict[str, str]] = {}
    for record in text.split("\0"):
        key, _, value = record.partition("\n")
        if match := _KEY.fullmatch(key):
            values.setdefault(match[1], {})[match[2]] = value
    return {
        submodule["path"].rstrip("/"): submodule["url"]
        for submodule in values.values()
        if "path" in submodule and "url" in submodule
    }


def _refused(message: str, hint: str) -> DeploymentFailed:
    return DeploymentFailed(Failure(FailureCode.SOURCE_REFUSED, message, hint))
