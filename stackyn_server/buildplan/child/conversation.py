"""The protocol of the planning child process: read a request, ask for files, answer with a plan or a failure.

In: a line of JSON `{"options": …, "paths_bytes": n}`, then n bytes of paths, each ended by NUL; then one answer for
each file that was asked for: a line with its size and its bytes, or `-` for no file, or `+` for one that is too large.
Out: messages, each a line with its size and that many bytes of JSON: `{"read": [paths]}` any number of times, then
either `{"plan": …}` or `{"failed": …}`. None has more than `MESSAGE_BYTES`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, BinaryIO

from stackyn_server.buildplan.file_sizes import file_too_large, may_be_passed_over
from stackyn_server.buildplan.plan import files_needed, make_plan
from stackyn_server.buildplan.project import PlanOptions
from stackyn_server.buildplan.versions.toolchains import Toolchains
from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode

# A plan has a Dockerfile of some kilobytes; a question has some hundred paths.
MESSAGE_BYTES = 1 << 20
# Limits of each text of a failure and of the paths in one question: a character takes up to 12 bytes as JSON.
_TEXT_CHARACTERS, _QUESTION_CHARACTERS = 20_000, 64_000


class CommitFiles(Mapping[str, bytes]):
    """The files of the commit: each is fetched from the server when it is first read."""

    def __init__(self, paths: frozenset[str], incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._paths, self._incoming, self._outgoing = paths, incoming, outgoing
        self._contents: dict[str, bytes | None] = {}
        self._too_large: set[str] = set()

    def fetch(self, paths: Iterable[str]) -> None:
        """Read some files in one round trip."""
        unread = [path for path in dict.fromkeys(paths) if path in self._paths and path not in self._contents]
        if not unread:
            return
        for paths in _questions(unread):
            self._ask(paths)

    def _ask(self, paths: list[str]) -> None:
        send(self._outgoing, {"read": paths})
        for path in paths:
            answer = self._incoming.readline().strip()
            self._contents[path] = None
            if answer == b"+":
                self._too_large.add(path)
            elif answer != b"-":
                self._contents[path] = _exactly(self._incoming, int(answer))

    def __getitem__(self, path: str) -> bytes:
        self.fetch((path,))
        content = self._contents.get(path)
        if path in self._too_large and not may_be_passed_over(path):
            raise file_too_large(path)
        if content is None:
            raise KeyError(path)
        return content

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def converse(incoming: BinaryIO, outgoing: BinaryIO) -> None:
    """Plan one commit."""
    request = json.loads(incoming.readline())
    path_list = _exactly(incoming, request["paths_bytes"]).decode("utf-8", "surrogateescape")
    paths = frozenset(path_list.split("\0")) - {""}
    options = options_of(request["options"])
    contents = CommitFiles(paths, incoming, outgoing)
    try:
        contents.fetch(files_needed(paths, options))
        plan = make_plan(paths, contents, options)
    except DeploymentFailed as failed:
        send(outgoing, _failed(failed.failure))
    else:
        send(outgoing, {"plan": plan.as_json()})


def _questions(paths: list[str]) -> Iterator[list[str]]:
    """Divide paths into questions that are not too long for one message."""
    question: list[str] = []
    characters = 0
    for path in paths:
        if question and characters + len(path) > _QUESTION_CHARACTERS:
            yield question
            question, characters = [], 0
        question.append(path)
        characters += len(path)
    yield question


def _failed(failure: Failure) -> dict[str, Any]:
    return {"failed": {name: text[:_TEXT_CHARACTERS] for name, text in asdict(failure).items()}}


_TOO_LONG = Failure(
    FailureCode.SOURCE_TOO_LARGE,
    "The repository's settings make a build plan that is too long.",
    "Look for an unusually long command or list in its manifests and settings, or add a Dockerfile.",
)


def options_as_json(options: PlanOptions) -> dict[str, Any]:
    names = (name for name in PlanOptions.__dataclass_fields__ if name != "toolchains")
    return {"toolchains": options.toolchains.as_json(), **{name: getattr(options, name) for name in names}}


def options_of(stored: Mapping[str, Any]) -> PlanOptions:
    return PlanOptions(**{**stored, "toolchains": Toolchains.from_json(stored["toolchains"])})


def send(outgoing: BinaryIO, message: Mapping[str, Any]) -> None:
    data = json.dumps(message).encode("ascii")
    if len(data) > MESSAGE_BYTES:
        data = json.dumps(_failed(_TOO_LONG)).encode("ascii")
    outgoing.write(b"%d\n%b" % (len(data), data))
    outgoing.flush()


def _exactly(incoming: BinaryIO, size: int) -> bytes:
    data = incoming.read(size)
    if len(data) != size:
        raise EOFError("the server ended the conversation")
    return data
