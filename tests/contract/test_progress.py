"""Build progress over a WebSocket, and the check of what serves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import WSCloseCode, WSMsgType, WSServerHandshakeError

from stackyn_server.domain.deployments import Phase
from tests.contract.conftest import Person, Platform
from tests.contract.test_apps import move
from tests.contract.test_conventions import is_error
from tests.patience import within


async def first_deployment(person: Person, app: int) -> int:
    return int((await person.get(f"/api/v1/apps/{app}/deployments")).json[0]["id"])


async def receive(socket: Any) -> Any:
    async with within(10):
        return await socket.receive_json()


def ways_in(token: str | None) -> list[dict[str, Any]]:
    return [
        {"headers": {"Authorization": f"Bearer {token}"}},
        {"params": {"token": token}},
        {"protocols": ["bearer", token]},
        {"protocols": [token]},
    ]


@pytest.mark.parametrize("way", range(4))
async def test_each_change_is_one_frame(platform: Platform, way: int) -> None:
    person = await platform.person()
    app = await person.new_app()
    deployment = await first_deployment(person, app)
    options = ways_in(person.token)[way]
    params = {"app_id": str(app), **options.pop("params", {})}
    async with platform.client.ws_connect("/ws/build-status", params=params, **options) as socket:
        assert await receive(socket) == {
            "type": "build_status",
            "app_id": str(app),
            "build_job_id": str(deployment),
            "status": "building",
            "progress": {"stage": "cloning", "message": "Waiting for its turn.", "percent": 0},
            "data": {"phase": "queued"},
        }
        await move(platform, deployment, Phase.FETCHING)
        assert (await receive(socket))["progress"]["percent"] == 10
        await move(platform, deployment, Phase.CANCELLED)
        last = await receive(socket)
        assert last["status"] == "failed" and "progress" not in last


async def test_before_the_upgrade_it_is_an_ordinary_refusal(platform: Platform) -> None:
    person, stranger = await platform.person(), await platform.person()
    app = await person.new_app()
    for caller, query, status in [
        (person, "", 400),
        (platform.nobody, f"?app_id={app}", 401),
        (stranger, f"?app_id={app}", 404),
        (person, "?app_id=x", 404),
        (person, "?app_id=99999999999999999999", 404),
    ]:
        headers = {"Authorization": f"Bearer {caller.token}"} if caller.token else {}
        with pytest.raises(WSServerHandshakeError) as refused:
            await platform.client.ws_connect(f"/ws/build-status{query}", headers=headers)
        assert refused.value.status == status
        answer = await caller.get(f"/ws/build-status{query}")
        assert answer.status == status and answer.json["error"]
    assert is_error(await person.get(f"/ws/build-status?app_id={app}"), 400, "INVALID_REQUEST")


async def test_a_stopping_server_closes_open_sockets_with_a_reason(platform: Platform) -> None:
    person = await platform.person()
    app = await person.new_app()
    socket = await platform.client.ws_connect(f"/ws/build-status?app_id={app}&token={person.token}")
    await socket.receive()
    async with within(5):
        closing = asyncio.create_task(platform.client.server.close())
        farewell = await socket.receive()
        await closing
    assert farewell.type is WSMsgType.CLOSE
    assert (farewell.data, farewell.extra) == (
        WSCloseCode.GOING_AWAY,
        "The server is stopping; connect again in a moment.",
    )


async def test_verify_names_what_an_app_that_never_ran_lacks(platform: Platform) -> None:
    person = await platform.person()
    app = await person.new_app("checked")
    answer = (await person.get(f"/api/v1/apps/{app}/verify")).json
    assert (answer["app_id"], answer["app_name"], answer["subdomain"], answer["port"]) == (
        app,
        "checked",
        "checked",
        0,
    )
    keys = ("is_running", "ingress_configured", "traefik_configured", "health_check_passed", "success")
    assert [answer[key] for key in keys] == [False] * 5
    assert len(answer["errors"]) == 3 and all(isinstance(error, str) for error in answer["errors"])
