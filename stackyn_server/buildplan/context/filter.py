"""The build context in the child process: git's tar comes in, the tar of what the build gets goes out.

Standard input has the request, a JSON object whose names are those of `ContextRequest`; the tar comes by a pipe of its
own, straight from git. On standard error, a JSON list of sentences about what is missing follows the last byte.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO

from stackyn_server.buildplan.child.exits import CutOff
from stackyn_server.buildplan.context.dockerignore import Ignore, parse
from stackyn_server.buildplan.context.tar_filter import TarFilter

CHUNK_BYTES = 262_144


@dataclass(frozen=True, slots=True)
class ContextRequest:
    """What goes into a context. Texts may have bytes that are no UTF-8, as surrogates.

    `root` is the folder whose files are sent, `prefix` what is put before their paths. `ignore` are patterns of the
    plan, `ignore_text` is the ignore file that the repository has for this build. Files in `keep` are sent whatever
    both say, files and folders in `copies` whatever `ignore_text` says. `extra` are members that are added.
    """

    root: str = ""
    prefix: str = "context/"
    ignore: list[str] = field(default_factory=list)
    ignore_text: str = ""
    keep: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def filter_context(request: BinaryIO, archive: BinaryIO, outgoing: BinaryIO, report: BinaryIO) -> None:
    """Write the context. Raises `CutOff` without an end mark in the output."""
    wanted = ContextRequest(**json.loads(request.read()))
    filtering = TarFilter(
        Ignore((*wanted.ignore, *parse(wanted.ignore_text))),
        always_out=Ignore(tuple(wanted.ignore)),
        root=wanted.root,
        prefix=wanted.prefix,
        extra={path: text.encode("utf-8", "surrogateescape") for path, text in wanted.extra.items()},
        keep=wanted.keep,
        copies=wanted.copies,
    )
    while chunk := archive.read(CHUNK_BYTES):
        outgoing.write(filtering.feed(chunk))
    if not filtering.has_ended:
        raise CutOff
    outgoing.write(filtering.end())
    outgoing.flush()
    report.write(json.dumps(filtering.missing()).encode("ascii"))
    report.flush()
