"""What checking passwords costs those who wait for the event loop."""

from __future__ import annotations

import asyncio

import pytest

from stackyn_server.security.passwords import Passwords
from tests.loop import longest_wait

LONGEST_WAIT_SECONDS = 0.25


@pytest.mark.full
async def test_checking_many_passwords_holds_the_loop_below_250_ms() -> None:
    passwords = Passwords()
    async with longest_wait() as waited:
        await asyncio.gather(*(passwords.verify("password", None) for _ in range(8)))
    print(f"longest wait {waited.seconds * 1000:.0f} ms")
    assert waited.seconds < LONGEST_WAIT_SECONDS
