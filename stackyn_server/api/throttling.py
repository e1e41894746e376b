"""Rate limits by address, account and user: the allowances of `[rates]`, counted in this process."""

from __future__ import annotations

import ipaddress
import math
import time

from aiohttp import web
from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from stackyn_server.api.endpoint import Rate
from stackyn_server.api.wire.base import AccountRequestBody
from stackyn_server.config import RatesSettings
from stackyn_server.domain.ids import UserId
from stackyn_server.errors import RateLimited

_FORWARDED_FOR = "X-Forwarded-For"
_UNKNOWN_ADDRESS = "unknown"
_LOOPBACK = ipaddress.ip_network("127.0.0.0/8")
_LOOPBACK_IPV6 = ipaddress.ip_network("::1/128")

Trusted = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


class Throttle:
    """Counts with a sliding window: two counters a key, however large the allowance is."""

    def __init__(self, rates: RatesSettings, trusted_proxies: Trusted = ()) -> None:
        self._trusted_proxies = trusted_proxies
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._per_address = parse(rates.authentication_per_address)
        self._per_account = parse(rates.authentication_per_account)
        self._per_user = {Rate.READ: parse(rates.read_per_user), Rate.WRITE: parse(rates.write_per_user)}

    async def count_address(self, request: web.Request) -> None:
        await self._count(self._per_address, "address", client_address(request, self._trusted_proxies))

    async def count_account(self, body: AccountRequestBody) -> None:
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


def client_address(request: web.BaseRequest, trusted: Trusted) -> str:
    """Return the address of the client. Our ingress is on this machine, and appends the peer that it saw.

    `trusted` are proxies in front of it, which it lets pass on the chain that they give: the client is the last one in
    it whom none of them vouches for.
    """
    peer = request.remote or _UNKNOWN_ADDRESS
    if not _is_in(peer, (_LOOPBACK, _LOOPBACK_IPV6)):
        return peer
    chain = [hop.strip() for line in request.headers.getall(_FORWARDED_FOR, []) for hop in line.split(",")]
    return next((hop for hop in reversed(chain) if not _is_in(hop, trusted)), chain[0] if chain else peer)


def _is_in(address: str, networks: Trusted) -> bool:
    try:
        read = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(read in network for network in networks)
