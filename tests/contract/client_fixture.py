"""What a published client sends and reads, as `contracts/clients/<client>/<call>.toml` says it.

`[request]`: method, path, headers and body exactly as the client sends them, `bearer` (whose token), `app` (the states
in which `{app}` is tried, `running` if none is named). `[answer]`: the statuses that the client takes for success,
`may_be_empty` where it reads no body, and `reads`: each member by path (`[]` is every element of a list) with what it
must be. A trailing `?` allows it to be absent, `|null` to be null; members of what is absent are not asked for.
`[[refused]]`: a changed request and the status that the client is prepared for.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "contracts" / "clients"

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_WORDS = {"pending", "building", "running", "failed", "stopped"}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_wrapped(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("String"), str)
        and isinstance(value.get("Valid"), bool)
    )


KINDS: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "number": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "list": lambda value: isinstance(value, list),
    "id": lambda value: _is_number(value) or (isinstance(value, str) and value != ""),
    "time": lambda value: isinstance(value, str) and _TIME.fullmatch(value) is not None,
    "status": lambda value: isinstance(value, str) and value in _WORDS,
    "billing status": lambda value: value in ("trial", "active", "expired"),
    "subscription status": lambda value: value in ("trial", "active", "expired", "cancelled"),
    "deployment reference": lambda value: isinstance(value, str) and bool(re.fullmatch(r"dep_\d+", value)),
    "text or wrapped": lambda value: isinstance(value, str) or _is_wrapped(value),
}


@dataclass(frozen=True)
class Refusal:
    """A request that differs in `changes`, and what the client is prepared for."""

    changes: Mapping[str, Any]
    status: int
    says: str = ""
    never_says: str = ""


@dataclass(frozen=True)
class ClientFixture:
    client: str
    name: str
    method: str
    path: str
    statuses: tuple[int, ...]
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    bearer: str | None = None
    app_states: tuple[str, ...] = ("running",)
    may_be_empty: bool = False
    reads: Mapping[str, str] = field(default_factory=dict)
    refusals: tuple[Refusal, ...] = ()

    def __str__(self) -> str:
        return f"{self.client}/{self.name}"


def load(file: Path) -> ClientFixture:
    content = tomllib.loads(file.read_text("utf-8"))
    request, answer = content.pop("request"), content.pop("answer")
    refusals = tuple(
        Refusal(
            {key: value for key, value in refused.items() if key in ("body", "bearer")},
            **{key: value for key, value in refused.items() if key not in ("body", "bearer")},
        )
        for refused in content.pop("refused", ())
    )
    assert not content, f"{file}: {sorted(content)} means nothing"
    if "app" in request:
        request["app_states"] = tuple(request.pop("app"))
    return ClientFixture(
        file.parent.name, file.stem, statuses=tuple(answer.pop("status")), refusals=refusals, **request, **answer
    )  # fmt: skip


FIXTURES = [load(file) for file in sorted(FOLDER.glob("*/*.toml"))]


def faults(answer: Any, reads: Mapping[str, str], seen: set[str]) -> Iterator[str]:
    """Yield what the client would stumble over in `answer`; add to `seen` the paths that had a value."""
    for path, rule in reads.items():
        kind, is_optional = rule.removesuffix("?"), rule.endswith("?")
        kind, is_nullable = kind.removesuffix("|null"), kind.endswith("|null")
        for where, value in _values(answer, path.replace("[]", ".[]").lstrip(".").split(".")):
            if value is _ABSENT:
                if not is_optional:
                    yield f"{where} is missing"
                continue
            if value is not None or is_nullable:
                seen.add(path)
            if not (value is None and is_nullable) and not KINDS[kind](value):
                yield f"{where} is {value!r}, which is no {rule}"


_ABSENT = object()


def _values(value: Any, members: list[str], where: str = "answer") -> Iterator[tuple[str, Any]]:
    if not members:
        yield where, value
        return
    member, rest = members[0], members[1:]
    if member == "[]":
        for number, element in enumerate(value if isinstance(value, list) else ()):
            yield from _values(element, rest, f"{where}[{number}]")
    elif isinstance(value, dict) and member in value:
        yield from _values(value[member], rest, f"{where}.{member}")
    elif isinstance(value, dict) and not rest:
        yield f"{where}.{member}", _ABSENT
