"""Translate git's error output to a `Failure` with cause and next step, for the tenant. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stackyn_server.domain.failures import DeploymentFailed, FailureCode, TransientFailure
from stackyn_server.source.git import GitFailed

EVIDENCE_LINES = 10
EVIDENCE_LINE_LENGTH = 300
BRANCHES_SHOWN = 10

# Clients take these words in an error text for the end of their own session.
_SESSION_WORDS = (
    (re.compile("unauthorized", re.IGNORECASE), "not signed in"),
    (re.compile(r"\b401\b"), "sign-in required"),
)
_CREDENTIALS = re.compile(r"(://)[^/@\s]+@")

_REDIRECTED = re.compile(r"error: 30\d\b|redirect", re.IGNORECASE)
PACK_TOO_LARGE = "the pack is larger than the limit"
_NOT_OURS = re.compile(
    r"not our ref|unadvertised object|couldn't find remote ref|remote error: .*not found|did not send all necessary",
    re.IGNORECASE,
)

# The first row whose pattern is in git's output explains it.
_FETCH_FAILURES: tuple[tuple[re.Pattern[str], type[DeploymentFailed], FailureCode, str, str], ...] = (
    (
        re.compile(rf"died of signal 25|File too large|File size limit|{PACK_TOO_LARGE}", re.IGNORECASE),
        DeploymentFailed,
        FailureCode.SOURCE_TOO_LARGE,
        "The repository is larger than the limit of {max_mb} MB.",
        "Remove large files from the branch (a download at build time fits them), then deploy again.",
    ),
    (
        re.compile(
            r"could not read Username|Authentication failed|terminal prompts disabled|error: 40[134]\b|"
            r"repository '.*' not found",
            re.IGNORECASE,
        ),
        DeploymentFailed,
        FailureCode.SOURCE_UNREACHABLE,
        "The repository {url} was not found or is private.",
        "Check the repository URL, and make the repository public.",
    ),
    (
        _REDIRECTED,
        DeploymentFailed,
        FailureCode.SOURCE_REFUSED,
        "The repository {url} answers with redirects that lead nowhere.",
        "Open the URL in a browser and use the address where it ends.",
    ),
    (
        re.compile(r"transport '.*' not allowed|protocol .* not supported", re.IGNORECASE),
        DeploymentFailed,
        FailureCode.SOURCE_REFUSED,
        "The repository is served by a protocol that is not allowed.",
        "Use an https:// URL.",
    ),
    (
        _NOT_OURS,
        DeploymentFailed,
        FailureCode.REF_NOT_FOUND,
        "The commit to deploy is not in the repository.",
        "Push it again, or deploy the branch as it is now.",
    ),
    (
        re.compile(
            r"not valid: is this a git repository|dumb http transport|invalid .*(?:pkt|line|protocol)|"
            r"protocol error|bad line length",
            re.IGNORECASE,
        ),
        DeploymentFailed,
        FailureCode.SOURCE_UNREACHABLE,
        "There is no git repository at {url}.",
        "Use the address that `git clone` takes.",
    ),
    (
        re.compile(r"out of memory|Cannot allocate memory|memory exhausted", re.IGNORECASE),
        DeploymentFailed,
        FailureCode.SOURCE_TOO_LARGE,
        "The repository has objects that are too large to be read.",
        "Remove very large files from the branch, then deploy again.",
    ),
    (
        re.compile(r"No space left on device|Disk quota exceeded", re.IGNORECASE),
        TransientFailure,
        FailureCode.NO_DISK,
        "This server has no disk space left for the repository.",
        "Deploy again later; the operator of this server has to free space.",
    ),
    (
        re.compile(r"certificate|SSL|TLS|gnutls", re.IGNORECASE),
        TransientFailure,
        FailureCode.SOURCE_UNREACHABLE,
        "A secure connection to {url} could not be made.",
        "Check that its certificate is valid, then deploy again.",
    ),
    (
        re.compile(r"fsck|invalid index-pack output|inflate|corrupt|bad object|loose object", re.IGNORECASE),
        DeploymentFailed,
        FailureCode.SOURCE_REFUSED,
        "The repository has damaged or malformed objects, so it was not taken.",
        "Run `git fsck` on a clone, repair what it names, and push again.",
    ),
)


def evidence_of(text: str) -> str:
    """Return the last lines of git's output without control characters and credentials, at a bounded length."""
    lines = [
        "".join(c for c in line if c.isprintable())[:EVIDENCE_LINE_LENGTH]
        for line in re.split(r"[\r\n]+", text)
    ]
    shown = "\n".join([line for line in lines if line.strip()][-EVIDENCE_LINES:])
    shown = _CREDENTIALS.sub(r"\1", shown)
    for word, instead in _SESSION_WORDS:
        shown = word.sub(instead, shown)
    return shown


def is_redirect(failed: GitFailed) -> bool:
    return _REDIRECTED.search(failed.stderr) is not None


def wants_unadvertised(failed: GitFailed) -> bool:
    """Return True when the server refused the commit id. The branch may still be fetched."""
    return _NOT_OURS.search(failed.stderr) is not None


def fetch_failure(failed: GitFailed, *, url: str, max_mb: int) -> DeploymentFailed:
    """Explain why a repository could not be fetched."""
    evidence = evidence_of(failed.stderr)
    for pattern, kind, code, message, hint in _FETCH_FAILURES:
        if pattern.search(failed.stderr):
            return kind.of(code, message.format(url=url, max_mb=max_mb), hint, evidence)
    return TransientFailure.of(
        FailureCode.SOURCE_UNREACHABLE,
        f"The repository {url} could not be fetched.",
        "Check that its host is up, then deploy again.",
        evidence or f"git ended with {failed.returncode}",
    )


def redirected(url: str, location: str) -> DeploymentFailed:
    """Explain a redirect to another host, or to an invalid repository address."""
    return DeploymentFailed.of(
        FailureCode.SOURCE_REFUSED,
        f"The repository {url} answers with a redirect to another address, which is not followed.",
        f"Change the app's repository to the address where it ends: {evidence_of(location)}",
    )


def no_such_branch(branch: str, branches: Sequence[str]) -> DeploymentFailed:
    """Explain a missing branch, naming up to ten that exist."""
    shown = ", ".join(branches[:BRANCHES_SHOWN])
    more = f" and {len(branches) - BRANCHES_SHOWN} more" if len(branches) > BRANCHES_SHOWN else ""
    existing = f"The repository has: {shown}{more}." if branches else "The repository has no branches."
    return DeploymentFailed.of(
        FailureCode.REF_NOT_FOUND,
        f"The repository has no branch or tag {branch}."
        if branch != "HEAD"
        else "The repository does not say which of its branches is the default.",
        f"{existing} Change the app's branch, or push it.",
    )


def empty(url: str) -> DeploymentFailed:
    return DeploymentFailed.of(
        FailureCode.SOURCE_EMPTY,
        f"The repository {url} is empty: it has no commits.",
        "Push a first commit, then deploy again.",
    )


def no_files() -> DeploymentFailed:
    return DeploymentFailed.of(
        FailureCode.SOURCE_EMPTY,
        "The commit to deploy has no files.",
        "Commit your app's files and push them, then deploy again.",
    )


def too_many_files(limit: int) -> DeploymentFailed:
    return DeploymentFailed.of(
        FailureCode.SOURCE_TOO_LARGE,
        f"The repository has more than {limit} files.",
        "Keep generated files and dependencies out of git, then deploy again.",
    )


def files_too_large(max_mb: int) -> DeploymentFailed:
    return DeploymentFailed.of(
        FailureCode.SOURCE_TOO_LARGE,
        f"The files of the repository are larger than the limit of {max_mb} MB.",
        "Remove large files from the branch (a download at build time fits them), then deploy again.",
    )


def paths_too_long() -> DeploymentFailed:
    return DeploymentFailed.of(
        FailureCode.SOURCE_TOO_LARGE,
        "The paths of the repository's files are too long.",
        "Give its folders and files shorter names, then deploy again.",
    )


def unreadable(failed: GitFailed) -> DeploymentFailed:
    """Explain a failure on our own copy, which is damaged or missing. A new fetch repairs that."""
    return TransientFailure.of(
        FailureCode.INTERNAL,
        "The fetched copy of the repository could not be read.",
        "Deploy again, so that it is fetched anew.",
        evidence_of(failed.stderr),
    )
