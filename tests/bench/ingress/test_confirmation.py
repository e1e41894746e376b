"""How soon the confirmation of a route gives up where the proxy is dead or frozen."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import pytest

from tests.integration.ingress.conftest import BRIEFLY, IngressSetup
from tests.integration.ingress.test_publisher import apply_to_a_dead_proxy, publish_to_a_frozen_proxy


@pytest.mark.full
@pytest.mark.parametrize(
    ("apply", "longest_seconds"),
    [(apply_to_a_dead_proxy, 3 * BRIEFLY), (publish_to_a_frozen_proxy, 6 * BRIEFLY)],
)
async def test_an_unconfirmed_route_is_given_up_in_time(
    setup: IngressSetup, apply: Callable[[IngressSetup], Awaitable[object]], longest_seconds: float
) -> None:
    began = time.monotonic()
    await apply(setup)
    assert time.monotonic() - began < longest_seconds
