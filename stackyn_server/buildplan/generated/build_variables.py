"""An app's variables in a generated Dockerfile: secrets of every step that runs as the app's user. Pure.

A secret is in the environment of its step alone: in no layer, in no history, and not in the step's cache key. An
argument that stands for all values is in the cache key, so that a changed value runs the step again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

ARGUMENT = "STACKYN_VARIABLES"
_AS_APP = "USER app"
_MOUNT = re.compile(r"--mount=type=secret,env=(\w+),id=\1 ")


def with_variables(dockerfile: str, names: Iterable[str], digest: str) -> str:
    """Return a generated Dockerfile whose installations and builds find the variables in their environment.

    `names` are those of secrets of the build; `digest` changes with their values, and stands in the image's history.
    """
    # One line for each mount: the builder refuses lines of more than 64 KiB.
    mounts = "".join(f"    --mount=type=secret,env={name},id={name} \\\n" for name in names)
    lines = []
    is_app = has_argument = False
    for line in dockerfile.split("\n"):
        if line.startswith("FROM "):
            is_app = has_argument = False
        elif line == _AS_APP:
            is_app = True
        elif is_app and line.startswith("RUN "):
            if not has_argument:
                lines.append(f"ARG {ARGUMENT}={digest}")
            has_argument = True
            line = f"RUN \\\n{mounts}    {line.removeprefix('RUN ')}"
        lines.append(line)
    return "\n".join(lines)


def without_variables(line: str) -> str:
    """Return a line of build output without the mounts of variables; empty for a line that holds only a mount."""
    plain = _MOUNT.sub("", line)
    return "" if plain != line and plain.endswith("\\") else plain
