"""Poetry's own way to name packages, as requirements that pip reads. Source: Poetry's dependency specification."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from stackyn_server.buildplan.versions.requirement import Dialect, parse_requirement

_PEP_440 = re.compile(r"(?:(?:~=|==|!=|<=|>=|<|>) ?[\w.*+!-]{1,60},? ?){1,10}")
_ENDLESS = 10**9


def as_requirements(dependencies: Mapping[str, Any]) -> list[str]:
    """Return `flask = "^3.0"` as `flask>=3.0.0,<4.0.0`, without Python itself and what is optional."""
    return [
        text
        for name, wanted in dependencies.items()
        if name != "python"
        for text in _requirements(name, wanted)
        if text.isprintable()
    ]


def _requirements(name: str, wanted: Any) -> Iterator[str]:
    if isinstance(wanted, str):
        yield f"{name}{_versions(wanted)}"
    elif isinstance(wanted, list):  # one for each platform or Python
        for one in wanted:
            if isinstance(one, dict):
                yield from _requirements(name, one)
    elif isinstance(wanted, dict) and wanted.get("optional") is not True:
        yield from _detailed(
            name, {key: value for key, value in wanted.items() if isinstance(value, str | list)}
        )


def _detailed(name: str, wanted: Mapping[str, Any]) -> Iterator[str]:
    extras = [extra for extra in wanted.get("extras", ()) if isinstance(extra, str)]
    named = f"{name}[{','.join(extras)}]" if extras else name
    markers = f" ; {wanted['markers']}" if isinstance(wanted.get("markers"), str) else ""
    reference = next(
        (wanted[key] for key in ("rev", "tag", "branch") if isinstance(wanted.get(key), str)), ""
    )
    if isinstance(wanted.get("git"), str):
        yield f"{named} @ git+{wanted['git']}{f'@{reference}' if reference else ''}{markers}"
    elif isinstance(wanted.get("url"), str):
        yield f"{named} @ {wanted['url']}{markers}"
    elif isinstance(wanted.get("path"), str):
        yield f"./{wanted['path'].removeprefix('./')}"
    else:
        version = wanted.get("version", "*")
        yield f"{named}{_versions(version if isinstance(version, str) else '*')}{markers}"


def _versions(wanted: str) -> str:
    """Return the version part of a requirement; empty where every version is allowed, or none can be read."""
    if _PEP_440.fullmatch(wanted):
        return wanted.replace(" ", "").rstrip(",")
    requirement = parse_requirement(wanted, Dialect.PYTHON)
    if requirement is None or len(requirement.ranges) != 1 or requirement.allows_any:
        return ""
    low, high = requirement.ranges[0].low, requirement.ranges[0].high
    lowest = f">={'.'.join(map(str, low))}"
    return lowest if high[0] >= _ENDLESS else f"{lowest},<{'.'.join(map(str, high))}"
