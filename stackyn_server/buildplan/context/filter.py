"""Filter the build context in the child process: read git's tar, write the tar that the build gets.

Standard input carries the request, a JSON object with the fields of `ContextRequest`; git writes its tar to a pipe of
its own. After the last byte, standard error carries a JSON list of sentences about missing contents.
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
    """Which files a build context has. Bytes that are not UTF-8 are in the texts as surrogates.

    The files below the folder `root` are sent, below `prefix`. `ignore` holds patterns of the plan, `ignore_text` is
    the repository's ignore file for this build. Files in `keep` are sent whatever both exclude, files and folders in
    `copies` whatever `ignore_text` excludes. `extra` maps the paths of added members to their texts.
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
