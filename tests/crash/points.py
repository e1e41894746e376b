"""Every crash point of the package, read from its text, and the scenario that passes it for certain."""

from __future__ import annotations

import re
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "stackyn_server"

ALL_POINTS = tuple(
    dict.fromkeys(
        name
        for module in sorted(PACKAGE.rglob("*.py"))
        for name in re.findall(r'crash_point\("([a-z._]+)"\)', module.read_text())
    )
)
# While a route is held, visitors wait for the server: those points have a test with promises of its own.
HELD = tuple(name for name in ALL_POINTS if name.startswith(("sleep.", "wake.", "swap.")))
POINTS = tuple(name for name in ALL_POINTS if name not in HELD)

# By the story that a point's name begins with.
PASSED_BY = {
    "build": "first deploy",
    "release": "redeploy",
    "retire": "redeploy",
    "cleanup": "failing redeploy",
    "withdraw": "delete",
    "remove": "delete",
    "repair": "lost container",
}


def story_of(point: str) -> str:
    return point.partition(".")[0]


def passed_in(scenario: str) -> set[str]:
    """The points of the stories that a scenario surely walks through."""
    return {point for point in POINTS if PASSED_BY.get(story_of(point)) == scenario}
