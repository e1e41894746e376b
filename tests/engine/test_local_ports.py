"""Ports on loopback that only the proxy and the server reach."""

from __future__ import annotations

import asyncio
import json

from tests.own_engine import in_namespaces

EVERYBODY = {"root": True, "proxy": True, "other": True}
OURS = {"root": True, "proxy": True, "other": False}


async def test_other_users_of_the_machine_reach_no_port_of_the_proxy() -> None:
    printed = await asyncio.to_thread(in_namespaces, "tests.engine.local_ports", seconds=30)

    answers = json.loads(printed)
    open_before, closed, another_port, closed_again, opened = answers["seen"]
    assert open_before == EVERYBODY, "without rules: the test can fail"
    assert closed == closed_again == OURS
    assert another_port == opened == EVERYBODY
    assert answers["wrote"] == [True, False, True, True], "only what is missing"
