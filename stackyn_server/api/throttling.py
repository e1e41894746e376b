"""How often one address, account or user may ask: the allowances of `[rates]`, counted in this process."""

from __future__ import annotations

import ipaddress
import math
import time

from aiohttp import web
from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from stackyn_server.api.routing import Rate
from stackyn_server.api.wire.base import AccountBody
from stackyn_server.config import Rates
from stackyn_server.domain.ids import UserId
from stackyn_server.errors import RateLimited

_FORWARDED_FOR = "X-Forwarded-For"
_UNKNOWN_ADDRESS = "unknown"


class Throttle:
    """Counts with a sliding window: two counters a key, however large the allowance is."""

    def __init__(self, rates: Rates) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._per_address = parse(rates.authentication_per_address)
        self._per_account = parse(rates.authentication_per_account)
        self._per_user = {Rate.READ: parse(rates.read_per_user), Rate.WRITE: parse(rates.write_per_user)}

    async def count_address(self, request: web.Request) -> None:
        await self._count(self._per_address, "address", client_address(request))

    async def count_account(self, body: AccountBody) -> None:
        await self._count(self._per_account, "account", body.rate_subject)

    async def count_user(self, rate: Rate, user: UserId) -> None:
        await self._count(self._per_user[rate], rate.value, str(user))

    async def _count(self, item: RateLimitItem, *key: str) -> None:
        """Raise `RateLimited`, saying when to come back, if the allowance of `key` is used up."""
        if await self._limiter.hit(item, *key):
            return
        window = await self._limiter.get_window_stats(item, *key)
        seconds = max(1, math.ceil(window.reset_time - time.time()))
        raise RateLimited(
            "Too many requests.",
            hint="Wait a moment, then try again.",
            details={"retry_after_seconds": seconds},
        )


def client_address(request: web.BaseRequest) -> str:
    """Return the address of the client. Our ingress is on this machine, and appends the peer that it saw."""
    peer = request.remote or _UNKNOWN_ADDRESS
    try:
        is_ours = ipaddress.ip_address(peer).is_loopback
    except ValueError:
        return peer
    forwarded = request.headers.getall(_FORWARDED_FOR, [])
    return forwarded[-1].rpartition(",")[2].strip() if is_ours and forwarded else peer
