"""Converts Poetry's dependencies to requirements that pip reads. Source: Poetry's dependency specification."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from stackyn_server.buildplan.versions.requirement import Dialect, parse_requirement

_PEP_440 = re.compile(r"(?:(?:~=|==|!=|<=|>=|<|>) ?[\w.*+!-]{1,60},? ?){1,10}")
_ENDLESS = 10**9


def as_requirements(dependencies: Mapping[str, Any]) -> list[str]:
    """Return `flask = "^3.0"` as `flask>=3.0.0,<4.0.0`, without Python itself and optional packages."""
    return [
        text
        for name, dependency in dependencies.items()
        if name != "python"
        for text in _requirements(name, dependency)
        if text.isprintable()
    ]


def _requirements(name: str, dependency: Any) -> Iterator[str]:
    if isinstance(dependency, str):
        yield f"{name}{_versions(dependency)}"
    elif isinstance(dependency, list):  # one for each platform or Python
        for variant in dependency:
            if isinstance(variant, dict):
                yield from _requirements(name, variant)
    elif isinstance(dependency, dict) and dependency.get("optional") is not True:
        yield from _detailed(
            name, {key: value for key, value in dependency.items() if isinstance(value, str | list)}
        )


def _detailed(name: str, dependency: Mapping[str, Any]) -> Iterator[str]:
    extras = [extra for extra in dependency.get("extras", ()) if isinstance(extra, str)]
    name_with_extras = f"{name}[{','.join(extras)}]" if extras else name
    markers = f" ; {dependency['markers']}" if isinstance(dependency.get("markers"), str) else ""
    reference = next(
        (dependency[key] for key in ("rev", "tag", "branch") if isinstance(dependency.get(key), str)), ""
    )
    if isinstance(dependency.get("git"), str):
        yield f"{name_with_extras} @ git+{dependency['git']}{f'@{reference}' if reference else ''}{markers}"
    elif isinstance(dependency.get("url"), str):
        yield f"{name_with_extras} @ {dependency['url']}{markers}"
    elif isinstance(dependency.get("path"), str):
        yield f"./{dependency['path'].removeprefix('./')}"
    else:
        version = dependency.get("version", "*")
        yield f"{name_with_extras}{_versions(version if isinstance(version, str) else '*')}{markers}"


def _versions(constraint: str) -> str:
    """Return the version part of a requirement; empty where every version is allowed, or none can be read."""
    if _PEP_440.fullmatch(constraint):
        return constraint.replace(" ", "").rstrip(",")
    requirement = parse_requirement(constraint, Dialect.PYTHON)
    if requirement is None or len(requirement.ranges) != 1 or requirement.allows_any:
        return ""
    low, high = requirement.ranges[0].low, requirement.ranges[0].high
    lowest = f">={'.'.join(map(str, low))}"
    return lowest if high[0] >= _ENDLESS else f"{lowest},<{'.'.join(map(str, high))}"
