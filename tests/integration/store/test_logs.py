"""Rows of log text."""

from __future__ import annotations

from stackyn_server.domain.ids import DeploymentId
from stackyn_server.store import logs
from stackyn_server.store.apps import App
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.logs import LogKind, NewChunk
from tests.rows import a_deployment, an_app


async def add(
    connection: Connection, app: App, deployment: DeploymentId | None, *texts: str, kind: LogKind = "build"
) -> list[int]:
    ids = await logs.reserve_ids(connection, len(texts))
    await logs.append(
        connection,
        [NewChunk(number, app.id, deployment, kind, text) for number, text in zip(ids, texts, strict=True)],
    )
    return ids


async def test_the_end_of_a_log_begins_with_a_whole_line(database: Database) -> None:
    async with database.transaction() as connection:
        app = await an_app(connection)
        deployment = (await a_deployment(connection, app)).id
        await add(connection, app, deployment, "one\ntwo\n", "three\nfour\n", "füge\n")
        read = [await logs.read_text(connection, deployment, "build", size) for size in (1000, 16, 6, 3)]
        assert read == ["one\ntwo\nthree\nfour\nfüge\n", "four\nfüge\n", "füge\n", "ge\n"]
        assert await logs.read_text(connection, deployment, "runtime", 1000) == ""
        assert await logs.size(connection, deployment, "build") == 25


async def test_chunks_come_in_order_after_an_id(database: Database) -> None:
    async with database.transaction() as connection:
        app = await an_app(connection)
        deployment = (await a_deployment(connection, app)).id
        ids = await add(connection, app, deployment, "a\n", "b\n", "c\n")
        chunks = await logs.chunks_after(connection, deployment, "build", ids[0], 10)
        assert [(chunk.id, chunk.text) for chunk in chunks] == [(ids[1], "b\n"), (ids[2], "c\n")]
        assert len(await logs.chunks_after(connection, deployment, "build", 0, 2)) == 2


async def test_storing_chunks_again_changes_nothing(database: Database) -> None:
    async with database.transaction() as connection:
        app = await an_app(connection)
        deployment = (await a_deployment(connection, app)).id
        chunk = NewChunk((await logs.reserve_ids(connection, 1))[0], app.id, deployment, "build", "once\n")
        await logs.append(connection, [chunk])
        await logs.append(connection, [chunk])
        assert await logs.read_text(connection, deployment, "build", 1000) == "once\n"


async def test_an_apps_chunks_are_listed_newest_first_in_pages(database: Database) -> None:
    async with database.transaction() as connection:
        app = await an_app(connection)
        deployment = (await a_deployment(connection, app)).id
        await add(connection, app, deployment, "a\n", "b\n", "ü\n")
        await add(connection, app, None, "of the app\n", kind="runtime")
        page = await logs.list_of_app(connection, app.id, "build", limit=2, offset=0)
        assert [(entry.content, entry.size, entry.deployment) for entry in page] == [
            ("ü\n", 3, deployment),
            ("b\n", 2, deployment),
        ]
        rest = await logs.list_of_app(connection, app.id, "build", limit=2, offset=2)
        assert [entry.content for entry in rest] == ["a\n"]
        runtime = await logs.list_of_app(connection, app.id, "runtime", limit=2, offset=0)
        assert [(entry.content, entry.deployment) for entry in runtime] == [("of the app\n", None)]


async def test_trim_keeps_the_newest_chunks(database: Database) -> None:
    async with database.transaction() as connection:
        app, neighbour = await an_app(connection), await an_app(connection)
        await add(connection, app, None, "old\n", "newer\n", "newest\n", kind="runtime")
        await add(connection, app, None, "kept\n", kind="build")
        await add(connection, neighbour, None, "neighbour's\n", kind="runtime")
        await logs.trim(connection, app.id, "runtime", 10)
        left = await logs.list_of_app(connection, app.id, "runtime", limit=9, offset=0)
        assert [entry.content for entry in left] == ["newest\n", "newer\n"]
        for owner, kind in ((app, "build"), (neighbour, "runtime")):
            assert len(await logs.list_of_app(connection, owner.id, kind, limit=9, offset=0)) == 1


async def test_logs_that_are_too_long_are_found_and_trimmed(database: Database) -> None:
    async with database.transaction() as connection:
        app, neighbour = await an_app(connection), await an_app(connection)
        ids = await logs.reserve_ids(connection, 4)
        await logs.append(
            connection,
            [
                logs.NewChunk(ids[0], app.id, None, "build", "x" * 600),
                logs.NewChunk(ids[1], app.id, None, "build", "y" * 600),
                logs.NewChunk(ids[2], app.id, None, "runtime", "z" * 600),
                logs.NewChunk(ids[3], neighbour.id, None, "build", "x" * 600),
            ],
        )
        assert await logs.newest_id(connection) == ids[-1]
        measured = {(size.app, size.kind): size.bytes for size in await logs.sizes(connection, since=ids[0])}
        assert measured == {(app.id, "build"): 1200, (app.id, "runtime"): 600, (neighbour.id, "build"): 600}
        assert len(await logs.sizes(connection, since=ids[1])) == 2, "one has not grown since"
        await logs.trim(connection, app.id, "build", 600)
        assert {size.bytes for size in await logs.sizes(connection, since=0)} == {600}
        (left,) = await logs.list_of_app(connection, app.id, "build", limit=10, offset=0)
        assert left.content == "y" * 600
