"""Rate limits by network, account and user: the allowances of `[rates]`, counted in this process."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256

from aiohttp import web
from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from stackyn_server.api.endpoint import Rate
from stackyn_server.api.failed_attempts import FailedAttempts
from stackyn_server.config import RatesSettings
from stackyn_server.domain.client_network import ClientNetwork, network_of
from stackyn_server.domain.ids import UserId
from stackyn_server.errors import RateLimited

_FORWARDED_FOR = "X-Forwarded-For"
_UNKNOWN_ADDRESS = "unknown"
_RIGHT_TOKENS_KEPT = 10_000
_THIS_MACHINE = frozenset(map(network_of, ("127.0.0.1", "::1")))
_LOOPBACK = ipaddress.ip_network("127.0.0.0/8")
_LOOPBACK_IPV6 = ipaddress.ip_network("::1/128")

Trusted = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


class Throttle:
    """Counts with a sliding window: two counters a key, however large the allowance is."""

    def __init__(self, rates: RatesSettings, trusted_proxies: Trusted = ()) -> None:
        self._trusted_proxies = trusted_proxies
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._per_network = {
            Rate.AUTHENTICATION: parse(rates.authentication_per_address),
            Rate.READINESS: parse(rates.readiness_per_address),
        }
        self._per_account = parse(rates.authentication_per_account)
        self._per_user = {Rate.READ: parse(rates.read_per_user), Rate.WRITE: parse(rates.write_per_user)}
        self._wrong_tokens = parse(rates.wrong_tokens_per_address)
        self._right_tokens: OrderedDict[bytes, None] = OrderedDict()
        self.failed_attempts = FailedAttempts(rates)

    def network(self, request: web.BaseRequest) -> ClientNetwork:
        return network_of(client_address(request, self._trusted_proxies))

    async def count_network(self, rate: Rate, network: ClientNetwork) -> None:
        """This machine's own requests for readiness are free: its operator's, and the service manager's."""
        if rate is Rate.READINESS and network in _THIS_MACHINE:
            return
        if item := self._per_network.get(rate):
            await self._count(item, rate.value, network)

    async def count_account(self, account: str, network: ClientNetwork) -> None:
        """Count by both: a stranger elsewhere uses up nothing of the owner's."""
        await self._count(self._per_account, "account", account, network)

    async def count_user(self, rate: Rate, user: UserId) -> None:
        await self._count(self._per_user[rate], rate.value, str(user))

    async def require_fewer_wrong_tokens(
        self, network: ClientNetwork, token: str, is_ours: Callable[[str], bool]
    ) -> None:
        """Raise `RateLimited` where too many wrong tokens came from. One that was right, or is ours, may pass."""
        item, key = self._wrong_tokens, ("token", network)
        if await self._limiter.test(item, *key) or _digest(token) in self._right_tokens or is_ours(token):
            return
        raise await self._refusal(item, *key)

    async def count_wrong_token(self, network: ClientNetwork) -> None:
        await self._limiter.hit(self._wrong_tokens, "token", network)

    def remember_right_token(self, token: str) -> None:
        digest = _digest(token)
        self._right_tokens[digest] = None
        self._right_tokens.move_to_end(digest)
        if len(self._right_tokens) > _RIGHT_TOKENS_KEPT:
            self._right_tokens.popitem(last=False)

    async def _count(self, item: RateLimitItem, *key: str) -> None:
        """Raise `RateLimited`, saying when to come back, if the allowance of `key` is used up."""
        if await self._limiter.hit(item, *key):
            return
        raise await self._refusal(item, *key)

    async def _refusal(self, item: RateLimitItem, *key: str) -> RateLimited:
        window = await self._limiter.get_window_stats(item, *key)
        seconds = max(1, math.ceil(window.reset_time - time.time()))
        return RateLimited(
            "Too many requests.",
            hint="Wait a moment, then try again.",
            details={"retry_after_seconds": seconds},
        )


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()


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
