"""Every crash point of the package, read from its text, and the scenarios that pass it for certain."""

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
HELD = tuple(name for name in ALL_POINTS if name.startswith(("sleep.", "wake.", "switch.")))
POINTS = tuple(name for name in ALL_POINTS if name not in HELD)

# The first word of a point's name is its handler. Each handler has one scenario in the short tier.
PASSED_BY = {
    "build": "first deploy",
    "release": "redeploy",
    "releasing": "redeploy with a release command",
    "retire": "redeploy",
    "cleanup": "failing redeploy",
    "withdraw": "delete",
    "remove": "delete",
    "repair": "lost container",
}

# The handlers that each scenario of the long tier runs. Cancel and delete also interrupt a deployment.
HANDLERS = {
    "first deploy": ("build", "release"),
    "redeploy": ("build", "release", "retire"),
    "redeploy with a release command": ("build", "releasing", "release", "retire"),
    "failing redeploy": ("build", "release", "cleanup"),
    "rollback": ("release", "retire"),
    "restart": ("release", "retire"),
    "cancel": ("build", "release", "cleanup"),
    "delete": ("build", "release", "cleanup", "withdraw", "retire", "remove"),
    "lost container": ("repair",),
}
_BEYOND_A_FAILING_PROBE = {"release.probed", "release.switching", "release.confirmed", "release.live"}


def handler_of(point: str) -> str:
    return point.partition(".")[0]


def passed_in(scenario: str) -> set[str]:
    """Return the points of the handlers that this scenario of the short tier always runs."""
    return {point for point in POINTS if PASSED_BY.get(handler_of(point)) == scenario}


def passed(scenario: str) -> list[str]:
    """Return the points that a scenario of the long tier always passes, in the order of its handlers."""
    beyond = _BEYOND_A_FAILING_PROBE if scenario == "failing redeploy" else set()
    handlers = HANDLERS[scenario]
    return sorted(
        (point for point in POINTS if handler_of(point) in handlers and point not in beyond),
        key=lambda point: handlers.index(handler_of(point)),
    )


def never_passed(scenario: str) -> set[str]:
    return set(POINTS) - set(passed(scenario))
