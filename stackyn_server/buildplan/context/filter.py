"""The build context in the child process: git's tar comes in, the tar of what the build gets goes out.

Standard input has the request, a JSON object whose names are those of `ContextRequest`; the tar comes by a pipe of its
own, straight from git. On standard error, a JSON list of sentences about what is missing follows the last byte.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import BinaryIO

from stackyn_server.buildplan.child.exits import CutOff
from stackyn_server.buildplan.context.dockerignore import IgnoreRules, parse
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


def filter_context(request: BinaryIO, archive: BinaryIO, outgoing: BinaryIO, report: BinaryIO) -> None:
    """Write the context. Raises `CutOff` without an end mark in the output."""
    context_request = ContextRequest(**json.loads(request.read()))
    tar_filter = TarFilter(
        IgnoreRules((*context_request.ignore, *parse(context_request.ignore_text))),
        always_out=IgnoreRules(tuple(context_request.ignore)),
        root=context_request.root,
        prefix=context_request.prefix,
        extra={path: text.encode("utf-8", "surrogateescape") for path, text in context_request.extra.items()},
        keep=context_request.keep,
        copies=context_request.copies,
    )
    while chunk := archive.read(CHUNK_BYTES):
        outgoing.write(tar_filter.feed(chunk))
    if not tar_filter.has_ended:
        raise CutOff
    outgoing.write(tar_filter.end())
    outgoing.flush()
    report.write(json.dumps(tar_filter.missing()).encode("ascii"))
    report.flush()
