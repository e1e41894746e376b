"""Named places where a test can have the process killed: between doing a step and recording it, and after.

`STACKYN_CRASH_AT=<name>` (or `<name>#<n>` for its n-th passing) sends SIGKILL to ourselves there. It is part of the
shipped build, so that what is tested is what runs; without the variable a crash point is a dictionary look-up.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "STACKYN_CRASH_AT"

_passed: dict[str, int] = {}


def crash_point(name: str) -> None:
    """Die here, as by `kill -9`, when the environment asks for it."""
    wanted = os.environ.get(VARIABLE)
    if wanted is None:
        return
    _passed[name] = _passed.get(name, 0) + 1
    if f"{name}#{_passed[name]}" == (wanted if "#" in wanted else f"{wanted}#1"):
        os.kill(os.getpid(), signal.SIGKILL)
