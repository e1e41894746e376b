"""git's words, as git 2.39 and curl say them, become a code, a sentence and harmless evidence."""

from __future__ import annotations

import pytest

from stackyn_server.domain.failures import FailureCode
from stackyn_server.source import git_failures
from stackyn_server.source.git import GitFailed

URL = "https://host.test/a.git"


@pytest.mark.parametrize(
    ("stderr", "code", "is_retried"),
    [
        (
            "fatal: could not read Username for 'https://host.test': terminal prompts disabled",
            "SOURCE_UNREACHABLE",
            False,
        ),
        ("fatal: Authentication failed for 'https://host.test/a.git/'", "SOURCE_UNREACHABLE", False),
        ("fatal: repository 'https://host.test/a.git/' not found", "SOURCE_UNREACHABLE", False),
        ("fatal: unable to access 'x': The requested URL returned error: 403", "SOURCE_UNREACHABLE", False),
        ("fatal: unable to access 'x': The requested URL returned error: 301", "SOURCE_REFUSED", False),
        ("fatal: transport 'file' not allowed", "SOURCE_REFUSED", False),
        ("fatal: x/info/refs not valid: is this a git repository?", "SOURCE_UNREACHABLE", False),
        ("fatal: dumb http transport does not support shallow capabilities", "SOURCE_UNREACHABLE", False),
        ("fatal: protocol error: bad line length character: <htm", "SOURCE_UNREACHABLE", False),
        ("fatal: remote error: upload-pack: not our ref 1111", "REF_NOT_FOUND", False),
        ("error: Server does not allow request for unadvertised object 1111", "REF_NOT_FOUND", False),
        ("error: index-pack died of signal 25\nfatal: index-pack failed", "SOURCE_TOO_LARGE", False),
        ("fatal: write error: File too large", "SOURCE_TOO_LARGE", False),
        (
            "fatal: Out of memory, malloc failed (tried to allocate 2147483648 bytes)",
            "SOURCE_TOO_LARGE",
            False,
        ),
        (
            "error: object 1: hasDotgit: contains '.git'\nfatal: fsck error in packed object",
            "SOURCE_REFUSED",
            False,
        ),
        ("fatal: write error: No space left on device", "NO_DISK", True),
        (
            "fatal: unable to access 'x': Failed to connect to host.test port 443: Connection refused",
            "SOURCE_UNREACHABLE",
            True,
        ),
        ("fatal: unable to access 'x': The requested URL returned error: 503", "SOURCE_UNREACHABLE", True),
        (
            "fatal: unable to access 'x': Operation too slow. Less than 1 bytes/sec",
            "SOURCE_UNREACHABLE",
            True,
        ),
        (
            "fatal: unable to access 'x': server certificate verification failed. CAfile: none",
            "SOURCE_UNREACHABLE",
            True,
        ),
        ("fatal: the remote end hung up unexpectedly", "SOURCE_UNREACHABLE", True),
        ("", "SOURCE_UNREACHABLE", True),
    ],
)
def test_each_failure_has_its_code(stderr: str, code: str, is_retried: bool) -> None:
    explained = git_failures.fetch_failure(GitFailed(128, stderr), url=URL, max_mb=512)
    assert (explained.failure.code.value, explained.retryable) == (code, is_retried)
    assert explained.failure.message.endswith(".") and explained.failure.hint.endswith(".")
    assert explained.failure.evidence or not stderr


def test_evidence_is_bounded_without_credentials_and_controls() -> None:
    text = "\n".join(
        [
            *(f"remote: line {number}" for number in range(100)),
            "\x1b[31mfatal: https://user:secret@host.test/ 401\r\n",
            "x" * 9999,
        ]
    )
    evidence = git_failures.evidence_of(text + "\nHTTP 401 Unauthorized")
    assert "secret" not in evidence and "\x1b" not in evidence and "\r" not in evidence
    assert "401" not in evidence and "unauthorized" not in evidence.lower()
    assert len(evidence.splitlines()) == git_failures.EVIDENCE_LINES
    assert max(len(line) for line in evidence.splitlines()) <= git_failures.EVIDENCE_LINE_LENGTH


def test_missing_branch_says_when_there_are_no_branches() -> None:
    explained = git_failures.no_such_branch("main", [])
    assert explained.failure.code is FailureCode.REF_NOT_FOUND
    assert "no branches" in explained.failure.hint
