"""Logs: whole, paged, and followed while they grow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.ids import AppId, DeploymentId
from tests.contract.conftest import REPOSITORY, Person, Platform
from tests.contract.test_apps import move
from tests.patience import within


class Stream:
    """Reads server-sent events one by one."""

    def __init__(self, response: Any) -> None:
        self.response = response

    async def next(self) -> dict[str, str]:
        """Return the next event; comments are passed over."""
        async with within(10):
            while True:
                block = (await self.response.content.readuntil(b"\n\n")).decode().rstrip("\n")
                if not block.startswith(":"):
                    break
        event: dict[str, str] = {}
        for line in block.split("\n"):
            name, _, value = line.partition(": ")
            event[name] = f"{event[name]}\n{value}" if name in event else value
        return event


@asynccontextmanager
async def following(person: Person, deployment: int, **headers: str) -> AsyncIterator[Stream]:
    path = f"/api/v1/deployments/{deployment}/logs/stream"
    bearer = {"Authorization": f"Bearer {person.token}", **headers}
    async with person.platform.client.get(path, headers=bearer) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        yield Stream(response)


@pytest.fixture
async def building(platform: Platform) -> AsyncIterator[tuple[Person, AppId, DeploymentId]]:
    """An app whose first deployment is being built, while the journal runs."""
    person = await platform.person()
    app = await person.new_app()
    deployment = DeploymentId((await person.get(f"/api/v1/apps/{app}/deployments")).json[0]["id"])
    await move(platform, deployment, Phase.FETCHING, Phase.PLANNING, Phase.BUILDING)
    running = asyncio.create_task(platform.journal.run())
    yield person, app, deployment
    running.cancel()
    await asyncio.wait({running})


async def test_the_build_log_is_given_while_it_grows(
    platform: Platform, building: tuple[Person, AppId, DeploymentId]
) -> None:
    person, app, deployment = building
    path = f"/api/v1/deployments/{deployment}/logs"
    assert (await person.get(path)).json == {
        "deployment_id": deployment, "status": "building", "build_log": None, "runtime_log": None,
        "error_message": None,
    }  # fmt: skip
    for number in (1, 2):
        platform.journal.write(app, deployment, "build", f"\x1b[32mstep {number}\x1b[0m\r\n")
        await platform.journal.flush(deployment)
        log = (await person.get(path)).json["build_log"]
        assert log == "".join(f"step {n}\n" for n in range(1, number + 1))


@pytest.mark.parametrize("plan", ["free", "withdrawn"])
async def test_a_plan_without_logs_is_said_where_clients_look(platform: Platform, plan: str) -> None:
    """A plan that the configuration no longer has is the default plan, which is free."""
    person = await platform.person(plan=plan)
    app = await person.new_app()
    deployment = (await person.get(f"/api/v1/apps/{app}/deployments")).json[0]["id"]
    answer = await person.get(f"/api/v1/deployments/{deployment}/logs")
    sentence = "Runtime logs are not part of your plan. Choose a larger plan to see them."
    assert (answer.status, answer.json["runtime_log"], answer.json["notice"]) == (200, sentence, sentence)


@pytest.mark.parametrize(
    ("query", "count"),
    [("", 3), ("?limit=2", 2), ("?limit=0", 3), ("?limit=many", 3), ("?limit=1001", 3), ("?offset=2", 1),
     ("?offset=-1", 3), ("?limit=1&offset=99999999999999999999", 1), ("?limit=%00", 3), ("?unknown=1", 3)],
)  # fmt: skip
async def test_stored_pieces_are_paged_and_a_bad_page_is_the_usual_one(
    platform: Platform, building: tuple[Person, AppId, DeploymentId], query: str, count: int
) -> None:
    person, app, deployment = building
    for number in range(3):
        platform.journal.write(app, deployment, "build", f"ä{number}\n")
        await platform.journal.flush(deployment)
    answer = await person.get(f"/api/v1/apps/{app}/logs/build{query}")
    assert answer.status == 200 and len(answer.json) == count
    if not query:
        newest = answer.json[0]
        assert (newest["content"], newest["size"], newest["log_type"]) == ("ä2\n", 4, "build")
        assert (newest["app_id"], newest["deployment_id"]) == (app, deployment)
    assert (await person.get(f"/api/v1/apps/{app}/logs/runtime")).json == []


async def test_a_follower_sees_every_line_once_and_resumes(
    platform: Platform, building: tuple[Person, AppId, DeploymentId]
) -> None:
    person, app, deployment = building
    platform.journal.write(app, deployment, "build", "one\ntwo\n")
    await platform.journal.flush(deployment)
    async with following(person, deployment) as stream:
        first = await stream.next()
        assert first["data"] == "one\ntwo"
        platform.journal.write(app, deployment, "build", "three\n")
        second = await stream.next()
        assert second["data"] == "three" and int(second["id"]) > int(first["id"])
    async with following(person, deployment, **{"Last-Event-ID": first["id"]}) as stream:
        assert (await stream.next())["data"] == "three"


async def everything(person: Person, deployment: int, **headers: str) -> list[dict[str, str]]:
    """Follow to the end."""
    events: list[dict[str, str]] = []
    async with following(person, deployment, **headers) as stream:
        while not events or events[-1].get("event") != "end":
            events.append(await stream.next())
    return events[:-1]


async def test_a_reader_cut_off_after_every_event_reads_each_line_once(
    platform: Platform, building: tuple[Person, AppId, DeploymentId]
) -> None:
    person, app, deployment = building
    lines = [f"line {number}" for number in range(40)]

    async def build() -> None:
        for line in lines:
            platform.journal.write(app, deployment, "build", line + "\n")
            await platform.journal.flush(deployment)

    writing = asyncio.create_task(build())
    read: list[str] = []
    last: dict[str, str] = {}
    while len(read) < len(lines):
        async with following(person, deployment, **last) as stream:
            event = await stream.next()
        read += event["data"].split("\n")
        last = {"Last-Event-ID": event["id"]}
    await writing
    assert read == lines


@pytest.mark.parametrize("identifier", ["nonsense", "0", "-1", "é", "9" * 30, str(2**63 - 1), "", "other"])
async def test_an_unknown_event_id_starts_the_log_from_its_beginning(
    platform: Platform, building: tuple[Person, AppId, DeploymentId], identifier: str
) -> None:
    person, app, deployment = building
    platform.journal.write(app, deployment, "build", "one\n")
    await platform.journal.flush(deployment)
    if identifier == "other":  # a newer one, of another log
        other_app = await person.new_app()
        other_deployment = (await person.get(f"/api/v1/apps/{other_app}/deployments")).json[0]["id"]
        platform.journal.write(other_app, other_deployment, "build", "elsewhere\n")
        await platform.journal.flush(other_deployment)
        identifier = str(await platform.value("SELECT max(id) FROM log_chunk"))
    platform.journal.write(app, deployment, "build", "two\n")
    await platform.journal.flush(deployment)
    await move(platform, deployment, Phase.CANCELLED)
    events = await everything(person, deployment, **{"Last-Event-ID": identifier})
    assert [event["data"] for event in events] == ["one", "two"]


async def test_the_id_of_trimmed_lines_resumes_with_what_is_left(
    platform: Platform, building: tuple[Person, AppId, DeploymentId]
) -> None:
    person, app, deployment = building
    for line in ("one", "two", "three"):
        platform.journal.write(app, deployment, "build", f"{line}\n")
        await platform.journal.flush(deployment)
    await move(platform, deployment, Phase.CANCELLED)
    first, *_ = await everything(person, deployment)
    await platform.execute("DELETE FROM log_chunk WHERE content IN ('one\n', 'two\n')")
    left = await everything(person, deployment, **{"Last-Event-ID": first["id"]})
    assert [event["data"] for event in left] == ["three"]
    again = await everything(person, deployment, **{"Last-Event-ID": left[0]["id"]})
    assert again == []


async def test_late_lines_come_before_the_end_event(
    platform: Platform, building: tuple[Person, AppId, DeploymentId]
) -> None:
    """The last line is not stored yet when the deployment ends."""
    person, app, deployment = building
    async with following(person, deployment) as stream:
        platform.journal.write(app, deployment, "build", "the last line\n")
        await move(platform, deployment, Phase.CANCELLED)
        assert [await stream.next(), await stream.next()][1] == {"event": "end", "data": "stopped"}
    events = await everything(person, deployment)
    assert [event["data"] for event in events] == ["the last line"]


async def test_a_stream_ends_with_its_deployment(
    platform: Platform, building: tuple[Person, AppId, DeploymentId]
) -> None:
    person, app, deployment = building
    platform.journal.write(app, deployment, "build", "one\n")
    async with following(person, deployment) as stream:
        assert (await stream.next())["data"] == "one"
        await move(platform, deployment, Phase.CANCELLED)
        assert await stream.next() == {"event": "end", "data": "stopped"}
        async with within(5):
            assert await stream.response.content.read() == b""


async def test_an_open_stream_ends_with_a_reason_when_the_server_stops(
    platform: Platform, building: tuple[Person, AppId, DeploymentId]
) -> None:
    person, _, deployment = building
    path = f"/api/v1/deployments/{deployment}/logs/stream"
    response = await platform.client.get(path, headers={"Authorization": f"Bearer {person.token}"})
    async with within(3):
        closing = asyncio.create_task(platform.client.server.close())
        body = await response.content.read()
        await closing
    response.close()
    assert body.endswith(b"event: closing\ndata: The server is stopping; connect again in a moment.\n\n")


async def test_following_an_app_that_does_not_run_is_404(platform: Platform) -> None:
    person = await platform.person()
    app = await person.new_app()
    assert (await person.get(f"/api/v1/apps/{app}/logs/runtime/stream")).status == 404


async def test_events_tell_what_happened_newest_first(
    platform: Platform, building: tuple[Person, AppId, DeploymentId]
) -> None:
    person, app, _ = building
    events = (await person.get(f"/api/v1/apps/{app}/events")).json
    assert "app.created" in {event["name"] for event in events}
    ids = [event["id"] for event in events]
    assert ids == sorted(ids, reverse=True)
    older = (await person.get(f"/api/v1/apps/{app}/events?before={ids[0]}&limit=1")).json
    assert [event["id"] for event in older] == ids[1:2]


async def test_queued_build_says_its_reason_and_place_in_the_build_log(platform: Platform) -> None:
    first, second = await platform.person(), await platform.person()
    await first.new_app()
    app = (await second.post("/api/v1/apps", json={"name": "Second", "repo_url": REPOSITORY})).json
    path = f"/api/v1/deployments/{app['deployment']['id']}/logs"
    assert (await second.get(path)).json["build_log"] == (
        "It waits for a free place. Its place in the queue: 2.\n"
    )
    await platform.execute("UPDATE job SET state = 'running' WHERE kind = 'build'")
    assert (await second.get(path)).json["build_log"] is None
