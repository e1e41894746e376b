"""An attack as a row of a table: what is tried, how the defended part answers, and where the same attempt succeeds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar
from unittest import mock

import pytest

PROPERTY = "attempt"
SHOWN_CHARACTERS = 60

Stage = TypeVar("Stage")


class Got(NamedTuple):
    """What an attempt brought: whether the attacker has what they wanted, and what they were told."""

    succeeded: bool
    answer: str


Tries = Callable[[Stage], Awaitable[Got]]
Opening = Callable[[Stage], AbstractAsyncContextManager[Stage]]


@dataclass(frozen=True, slots=True)
class Open(Generic[Stage]):
    """Where an attempt succeeds: in words, and the stage on which it does."""

    words: str
    of: Opening[Stage]


@dataclass(frozen=True, slots=True)
class Attempt(Generic[Stage]):
    """`answer` is in what the defended part says. `openly` is tried instead of `tries` where the attacker must do
    something else than before, as to send the right signature."""

    name: str
    tries: Tries[Stage]
    answer: str
    open: Open[Stage]
    openly: Tries[Stage] | None = None


class Tried(NamedTuple):
    """A row of the printed table. It travels as a property of a test's report, also between processes of xdist."""

    attacker: str
    name: str
    defended: str
    opened: str


Record = Callable[[str, object], None]


def rows(attempts: Sequence[Attempt[Any]]) -> pytest.MarkDecorator:
    """Parametrise a test by the attempts of a table."""
    names = [attempt.name for attempt in attempts]
    assert len(names) == len(set(names)), "two attempts have one name"
    return pytest.mark.parametrize("attempt", attempts, ids=names)


async def expect_only_open(attempt: Attempt[Stage], attacker: str, defended: Stage, record: Record) -> None:
    """Try it twice. Fail unless it is refused as the row says, and succeeds where something is open."""
    refused = await attempt.tries(defended)
    assert not refused.succeeded, f"{attempt.name}: the attack succeeded: {refused.answer}"
    assert attempt.answer in refused.answer, f"{attempt.name}: it failed for another reason: {refused.answer}"
    async with attempt.open.of(defended) as opened:
        got = await (attempt.openly or attempt.tries)(opened)
    assert got.succeeded, f"{attempt.name}: it can't succeed, so it shows nothing: {got.answer}"
    record(PROPERTY, [*Tried(attacker, attempt.name, _shown(refused.answer), attempt.open.words)])


@asynccontextmanager
async def as_it_is(stage: Stage) -> AsyncIterator[Stage]:
    """Nothing is opened: what is tried openly differs."""
    yield stage


def without(*replaced: tuple[Any, str, Any]) -> Callable[[Any], AbstractAsyncContextManager[Any]]:
    """A defence is replaced: owner of the attribute, its name, and what stands in its place."""

    @asynccontextmanager
    async def other(stage: Any) -> AsyncIterator[Any]:
        with _replaced(*replaced):
            yield stage

    return other


@contextmanager
def _replaced(*replaced: tuple[Any, str, Any]) -> Iterator[None]:
    if not replaced:
        yield
        return
    (owner, name, value), *rest = replaced
    with mock.patch.object(owner, name, value), _replaced(*rest):
        yield


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_CHARACTERS else f"{line[: SHOWN_CHARACTERS - 1]}…"


def table(tried: Sequence[Tried]) -> list[str]:
    """Return the lines of the printed table."""
    head = Tried("attacker", "attempt", "defended: none of these succeeds", "the same attempt succeeds")
    lines = [head, *sorted(tried, key=lambda row: row.attacker)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head) - 1)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]])
        for line in lines
    ]
