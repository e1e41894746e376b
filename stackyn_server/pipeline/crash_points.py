"""Named points at which a test can have the process killed: between doing a step and recording it, and after that.

`STACKYN_CRASH_AT=<name>` (or `<name>#<n>` for its n-th passing; several with commas, of which the first that is passed
counts) sends SIGKILL to ourselves there, after a last line that names it. It is part of the shipped build, so that what
is tested is what runs. Without the variable a crash point is one dictionary look-up.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "STACKYN_CRASH_AT"
LAST_WORDS = "killed at "

_STANDARD_ERROR = 2
_passed: dict[str, int] = {}


def crash_point(name: str) -> None:
    """Die here, as by `kill -9`, when the environment asks for it."""
    points = os.environ.get(VARIABLE)
    if points is None:
        return
    _passed[name] = _passed.get(name, 0) + 1
    here = {name, f"{name}#1"} if _passed[name] == 1 else {f"{name}#{_passed[name]}"}
    if here & set(points.split(",")):
        os.write(_STANDARD_ERROR, f"{LAST_WORDS}{name}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)
