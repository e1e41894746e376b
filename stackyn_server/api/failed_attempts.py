"""Makes guessing slow: after some failures, each further one for an account from a network brings a longer pause.

Counted by account *and* network: whoever guesses can't shut out the owner, who is elsewhere. Kept in this process.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stackyn_server.config import RatesSettings
from stackyn_server.domain.client_network import ClientNetwork
from stackyn_server.errors import RateLimited

_FORGOTTEN_SECONDS = 24 * 3600.0
_MOST_KEPT = 100_000  # the longest unused go first

Key = tuple[str, ClientNetwork]


@dataclass(slots=True)
class _Failures:
    count: int = 0
    paused_until: float = -math.inf
    last: float = 0.0


class FailedAttempts:
    def __init__(self, rates: RatesSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._rates = rates
        self._clock = clock
        self._kept: OrderedDict[Key, _Failures] = OrderedDict()

    @contextmanager
    def attempt(
        self, account: str, network: ClientNetwork, failures: tuple[type[Exception], ...]
    ) -> Iterator[None]:
        """Count what runs inside as a failure when it raises one of `failures`; its success forgets the earlier ones.

        It counts as a failure while it runs, so that many at once gain nothing. Raises `RateLimited` during a pause.
        """
        key = (account, network)
        known = self._known(key)
        before = _Failures(known.count, known.paused_until)
        now = self._clock()
        if now < known.paused_until:
            raise _paused(known.paused_until - now)
        known.count, known.last = known.count + 1, now
        known.paused_until = now + self._pause(known.count)
        try:
            yield
        except failures:
            raise
        except BaseException:
            known.count, known.paused_until = known.count - 1, before.paused_until
            raise
        self._kept.pop(key, None)

    def _known(self, key: Key) -> _Failures:
        known = self._kept.pop(key, None)
        if known is None or self._clock() - known.last > _FORGOTTEN_SECONDS:
            known = _Failures()
        self._kept[key] = known
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return known

    def _pause(self, failures: int) -> float:
        """Return the seconds after this many failures: none at first, then doubled each time."""
        rates = self._rates
        beyond = failures - rates.free_failures
        if beyond <= 0:
            return 0.0
        longest = rates.failure_pause_longest_seconds
        return min(longest, rates.failure_pause_seconds * 2.0 ** min(beyond - 1, 64))


def _paused(seconds: float) -> RateLimited:
    whole = max(1, math.ceil(seconds))
    return RateLimited(
        f"Too many attempts failed. The next one is possible in {whole} seconds.",
        details={"retry_after_seconds": whole},
    )
