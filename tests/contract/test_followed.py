"""What can go wrong before a stream or a socket begins: an ordinary answer, in JSON, with a documented status."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from stackyn_server.api.binding import bind
from stackyn_server.api.endpoint import Endpoint, Media
from stackyn_server.api.endpoints import ENDPOINTS
from stackyn_server.api.openapi import statuses
from tests.contract.conftest import Answer, Person, Platform
from tests.contract.endpoint_calls import an_app, titles
from tests.contract.test_conventions import is_error

FOLLOWED = [endpoint for endpoint in ENDPOINTS if endpoint.media in (Media.STREAM, Media.WEBSOCKET)]
STREAMS = [endpoint for endpoint in FOLLOWED if endpoint.media is Media.STREAM]
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
TOKENS = ["no.good.token", "stk_unknown", "%00", " ", "a b", "é", "x" * 5000]
IDS = ["0", "-1", "abc", "999999999", str(2**63), "9" * 400, "1%00", "%FF", "..%2F1", "%252e", "%D9%A1"]
QUERIES = [
    "tail=-1", "tail=many", "tail=" + "9" * 400, "tail=%00", "tail=1&tail=2", "since=yesterday", "since=%FF",
    "since=0001-01-01T00:00:00%2B14:00", "since=9999-12-31T23:59:59-14:00", "unknown=1", "=", "%00=1",
]  # fmt: skip
RESUMED = ["", "nonsense", "-1", "1.5", str(2**63), "9" * 400, "\t", "é"]


async def follow(
    person: Person, endpoint: Endpoint, identifier: object, query: str = "", **headers: str
) -> Answer:
    """Ask as a client of the endpoint would, and read to the end."""
    if endpoint.media is Media.WEBSOCKET:
        return await person.get(
            f"{endpoint.path}?app_id={identifier}&{query}", headers={**UPGRADE, **headers}
        )
    path = endpoint.path.replace("{app}", str(identifier)).replace("{deployment}", str(identifier))
    return await person.get(f"{path}?{query}", headers={"Accept": "text/event-stream", **headers})


def own(endpoint: Endpoint, members: dict[str, Any]) -> object:
    return members["deployment" if "{deployment}" in endpoint.path else "app"]


@titles(FOLLOWED)
async def test_a_bad_token_is_an_ordinary_refusal(platform: Platform, endpoint: Endpoint) -> None:
    members = await an_app(await platform.person())
    for token in TOKENS:
        answer = await follow(replace(platform.nobody, token=token), endpoint, own(endpoint, members))
        assert is_error(answer, 401, "SIGN_IN_REQUIRED"), token
    for query in ("token=%00", "token=no.good.token", "token="):
        answer = await follow(platform.nobody, endpoint, own(endpoint, members), query)
        assert is_error(answer, 401, "SIGN_IN_REQUIRED"), query


@titles(FOLLOWED)
async def test_what_is_not_there_is_404(platform: Platform, endpoint: Endpoint) -> None:
    person = await platform.person()
    for identifier in IDS:
        assert is_error(await follow(person, endpoint, identifier), 404, "NOT_FOUND"), identifier


@titles(STREAMS)
async def test_a_query_or_header_that_makes_no_sense_breaks_no_stream(
    platform: Platform, endpoint: Endpoint
) -> None:
    person = await platform.person()
    members = await an_app(person)
    await person.post(f"/api/v1/apps/{members['app']}/stop")
    documented = statuses(endpoint, bind(endpoint))
    asked = own(endpoint, members)
    answers = [follow(person, endpoint, asked, query) for query in QUERIES]
    answers += [follow(person, endpoint, asked, **{"Last-Event-ID": identifier}) for identifier in RESUMED]
    for answer in await asyncio.gather(*answers):
        assert answer.status in documented and answer.status < 500, answer.text
        if answer.status == 200:
            assert answer.headers["Content-Type"] == "text/event-stream"
        else:
            assert answer.json["error"], answer.text
