"""The child process that reads what tenants wrote: `python -m stackyn_server.buildplan plan`, or `context <fd>`.

Started by `source.reader` with limits and an empty environment. It imports nothing after it has given up its rights.
"""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from stackyn_server.buildplan.child.exits import ABANDONED, CUT_OFF, OUT_OF_MEMORY, CutOff
from stackyn_server.buildplan.child.rights import give_up_rights

# Else they are imported when they are first used.
_ENCODINGS = ("utf-8", "ascii", "utf-16", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "latin-1")


def main(mode: str, *arguments: str) -> int:
    work = _planning() if mode == "plan" else _filtering(int(arguments[0]))
    for encoding in _ENCODINGS:
        codecs.lookup(encoding)
    give_up_rights()
    try:
        work()
    except MemoryError:
        return OUT_OF_MEMORY
    except CutOff:
        return CUT_OFF
    except (EOFError, BrokenPipeError):
        return ABANDONED
    return 0


# Each imports only what it needs: half of the time until the first answer is imports.


def _planning() -> Callable[[], None]:
    from stackyn_server.buildplan.child.conversation import converse

    return lambda: converse(sys.stdin.buffer, sys.stdout.buffer)


def _filtering(archive: int) -> Callable[[], None]:
    from stackyn_server.buildplan.context.filter import filter_context

    def work() -> None:
        with open(archive, "rb", buffering=0) as tar:
            filter_context(sys.stdin.buffer, tar, sys.stdout.buffer, sys.stderr.buffer)

    return work


def run() -> NoReturn:
    """Do what the command line says and end, without tearing the interpreter down."""
    os._exit(main(*sys.argv[1:]))


if __name__ == "__main__":
    run()
