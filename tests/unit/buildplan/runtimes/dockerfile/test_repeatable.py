"""Which Dockerfiles need no build when nothing of theirs has changed."""

from __future__ import annotations

import pytest

from stackyn_server.buildplan.runtimes.dockerfile.repeatable import is_repeatable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM a AS b\nRUN x\nFROM c\nCOPY --from=b /x /x\nCOPY --from=0 /y /y\n", True),
        ("FROM scratch\nADD files.tar /\n", True),
        ("FROM a\nRUN --mount=type=cache,target=/c curl https://x.example/${V}\n", True),
        ("ARG V=1\nFROM a:$V\n", False),
        ("FROM a\nCOPY --from=other/image:1 /x /x\n", False),
        ("FROM a\nRUN --mount=type=bind,from=other,target=/x ls\n", False),
        ("FROM a\nADD https://x.example/file /\n", False),
        ("FROM a\nadd --checksum=x \\\n git@x.example:y.git /\n", False),
        ("FROM a\nARG U\nADD $U /\n", False),
        ("# syntax=docker/dockerfile:1\nFROM a\n", False),
        ("RUN x\n", False),
        ("", False),
    ],
)
def test_only_what_can_not_change_by_itself_is_repeatable(text: str, expected: bool) -> None:
    assert is_repeatable(text) is expected
