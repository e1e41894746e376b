"""Log what fails in a loop over all apps once, not in each round."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

import structlog

from stackyn_server.errors import StackynError
from stackyn_server.reconcile.bounded_map import Failed

log = structlog.get_logger()

Key = TypeVar("Key", bound=int)


class Failing(Generic[Key]):
    """What failed in the last round of one loop. `event` (noun.verb) names what did not happen, `kind` the keys."""

    def __init__(self, event: str, kind: str = "app") -> None:
        self._event = event
        self._kind = kind
        self._failing: set[Key] = set()

    def note(self, outcomes: Iterable[tuple[Key, object]]) -> None:
        """Log what has begun to fail. One line stands for all where most do: their cause is the same."""
        results = dict(outcomes)
        errors = {key: result.error for key, result in results.items() if isinstance(result, Failed)}
        new = [key for key in errors if key not in self._failing]
        if 1 < len(results) < 2 * len(new):
            self._log(errors[new[0]], **{f"{self._kind}s": len(new)})
        else:
            for key in new:
                self._log(errors[key], **{self._kind: int(key)})
        self._failing = set(errors)

    def _log(self, error: Exception, **fields: int) -> None:
        notes = error.notes if isinstance(error, StackynError) else ""
        log.warning(self._event, **fields, reason=str(error) or "It took too long.", notes=notes)
