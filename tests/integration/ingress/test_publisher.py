from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import replace
from typing import Any

import pytest

from stackyn_server.domain.ids import InstanceId
from stackyn_server.errors import StackynError
from stackyn_server.ingress.confirmation import NotConfirmed
from stackyn_server.ingress.entry_points import EntryPoint
from stackyn_server.ingress.publisher import NotPublished, RenderedFile
from stackyn_server.ingress.render import render
from stackyn_server.ingress.render_context import PublicationId, RenderContext
from stackyn_server.ingress.route_file import RouteFile, RouteFileState
from stackyn_server.ingress.validators import RouteRefused
from stackyn_server.store.database import Database
from stackyn_server.store.failures import DatabaseUnavailable
from stackyn_server.store.installation import LeadershipLost
from tests.integration.ingress import rows
from tests.integration.ingress.conftest import BRIEFLY, MakeStage, Stage, address
from tests.integration.ingress.parts import backend, free_port, get, says

GONE = InstanceId(10**9)


def numbers(stage: Stage) -> str:
    text = json.loads(stage.proxy.routes.read_text())
    return str(text["http"]["middlewares"]["stackyn-marker"]["redirectRegex"]["replacement"])


async def test_a_confirmed_route_is_served(stage: Stage) -> None:
    _, instance = await rows.add_app(stage.database, "shop", port=stage.port, seat=0, hosts=["www.shop.org"])
    async with backend(address(0), stage.port, says("hello")):
        await stage.publisher().apply({"shop.example.test": instance, "www.shop.org": instance})

        for host in ("shop.example.test", "www.shop.org"):
            assert await get(stage.proxy.entry_points[0], host) == (200, "hello")


async def test_prepare_removes_no_file_that_is_being_written(stage: Stage) -> None:
    """A job of a killed server publishes as soon as the next server has started."""
    starting: list[asyncio.Task[int]] = []

    async def start() -> None:
        if not starting:
            starting.append(asyncio.create_task(publisher.prepare()))
            await asyncio.sleep(0.2)

    publisher = stage.publisher(still_leading=start)

    number = await publisher.publish()

    assert await starting[0] == number + 1


async def test_every_entry_point_is_checked(make_stage: MakeStage) -> None:
    stage: Stage = await make_stage(tls=True, https_port=8443)
    _, instance = await rows.add_app(stage.database, "shop", port=stage.port, seat=0)
    plain, tls = stage.proxy.entry_points
    async with backend(address(0), stage.port, says("hello")):
        await stage.publisher().apply({"shop.example.test": instance})

        assert await get(tls, "shop.example.test") == (200, "hello")
        assert (await get(plain, "shop.example.test"))[0] == 301


async def test_an_entry_point_that_refuses_is_named(stage: Stage) -> None:
    points = (*stage.proxy.entry_points, EntryPoint("second", free_port()))
    publisher = stage.publisher(context=_with(stage, entry_points=points), confirm_seconds=BRIEFLY)

    with pytest.raises(NotConfirmed, match="`second` refuses connections"):
        await publisher.apply({})


async def test_a_withdrawn_host_is_confirmed_gone(stage: Stage) -> None:
    app, instance = await rows.add_app(stage.database, "shop", port=stage.port, seat=0)
    publisher = stage.publisher()
    await publisher.apply({"shop.example.test": instance})

    await rows.withdraw(stage.database, app)
    await publisher.apply({"shop.example.test": None})

    assert (await get(stage.proxy.entry_points[0], "shop.example.test"))[0] == 404


async def test_a_host_that_still_answers_is_not_confirmed_gone(stage: Stage) -> None:
    _, instance = await rows.add_app(stage.database, "shop", port=stage.port, seat=0)
    await stage.publisher().apply({"shop.example.test": instance})

    publisher = stage.publisher(confirm_seconds=BRIEFLY)
    with pytest.raises(NotConfirmed, match="still answers for shop"):
        await publisher.apply({"shop.example.test": None})


async def test_another_instance_than_the_expected_one_is_not_confirmed(stage: Stage) -> None:
    await rows.add_app(stage.database, "shop", port=stage.port, seat=0)

    with pytest.raises(NotConfirmed, match="another instance"):
        await stage.publisher(confirm_seconds=BRIEFLY).apply({"shop.example.test": GONE})


def _break(change: Any) -> Any:
    def broken(context: RenderContext, publication: PublicationId, routes: Any) -> RenderedFile:
        rendered = render(context, publication, routes)
        change(rendered.configuration["http"])
        return RenderedFile(rendered.as_text())

    return broken


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda http: http["services"].pop("app-1"), id="missing service"),
        pytest.param(
            lambda http: [
                http["routers"][name].update(entryPoints=["nowhere"])
                for name in ("app-1-web", "confirm-app-1-web")
            ],
            id="unknown entry point",
        ),
        pytest.param(
            lambda http: http["routers"]["confirm-app-1-web"].update(rule="Host(`shop"), id="bad rule"
        ),
        pytest.param(
            lambda http: http["services"]["app-1"]["loadBalancer"].update(serversTransport="nowhere"),
            id="missing transport",
        ),
    ],
)
async def test_a_host_without_its_router_is_not_confirmed(stage: Stage, damage: Any) -> None:
    app, instance = await rows.add_app(stage.database, "shop", port=stage.port, seat=0)
    assert app == 1

    with pytest.raises(NotConfirmed, match="does not serve shop"):
        await stage.publisher(renderer=_break(damage), confirm_seconds=BRIEFLY).apply(
            {"shop.example.test": instance}
        )


async def test_a_rejected_file_keeps_the_old_routes_and_isnt_confirmed(stage: Stage) -> None:
    _, instance = await rows.add_app(stage.database, "shop", port=stage.port, seat=0)
    async with backend(address(0), stage.port, says("hello")):
        await stage.publisher().apply({"shop.example.test": instance})

        rejected = stage.publisher(
            renderer=lambda *_: RenderedFile('{"http":{"routers":5}}\n'), confirm_seconds=BRIEFLY
        )
        with pytest.raises(NotConfirmed, match="the marker is behind"):
            await rejected.apply({"shop.example.test": instance})

        assert await get(stage.proxy.entry_points[0], "shop.example.test") == (200, "hello")
        await stage.publisher().apply({"shop.example.test": instance})


async def test_callers_at_the_same_time_share_a_publication(stage: Stage) -> None:
    publisher = stage.publisher()

    taken = await asyncio.gather(*(publisher.publish() for _ in range(20)))

    assert len(set(taken)) <= 2
    assert numbers(stage).endswith(f"1-{max(taken)}")


async def test_no_caller_shares_a_snapshot_older_than_its_commit(stage: Stage) -> None:
    publisher = stage.publisher()
    hosts: dict[str, InstanceId] = {}

    async def deploy(number: int) -> int:
        _, instance = await rows.add_app(stage.database, f"app{number}", port=stage.port, seat=number)
        taken = await publisher.publish()
        hosts[f"app{number}.example.test"] = instance
        assert f"`app{number}.example.test`" in stage.proxy.routes.read_text()
        return taken

    taken = await asyncio.gather(*(deploy(number) for number in range(30)))

    await publisher.confirm(max(taken), hosts)


async def test_cancelling_one_caller_does_not_cancel_the_others(stage: Stage) -> None:
    publisher = stage.publisher()
    callers = [asyncio.create_task(publisher.publish()) for _ in range(5)]
    await asyncio.sleep(0)
    callers[0].cancel()

    ended = await asyncio.gather(*callers, return_exceptions=True)

    assert isinstance(ended[0], asyncio.CancelledError)
    assert all(isinstance(number, int) for number in ended[1:])
    await publisher.confirm(max(number for number in ended[1:] if isinstance(number, int)), {})


async def test_every_waiting_caller_gets_the_error_at_once(stage: Stage) -> None:
    publisher = stage.publisher()
    await stage.database.close()

    ended = await asyncio.gather(*(publisher.publish() for _ in range(5)), return_exceptions=True)

    assert all(isinstance(error, DatabaseUnavailable) for error in ended), ended


async def test_a_server_of_another_epoch_writes_nothing(stage: Stage) -> None:
    publisher = stage.publisher()
    await publisher.apply({})
    before = stage.proxy.routes.read_text()
    async with stage.database.transaction() as connection:
        await connection.execute("UPDATE installation SET epoch = epoch + 1")

    with pytest.raises(LeadershipLost):
        await publisher.publish()

    assert stage.proxy.routes.read_text() == before


async def test_lost_leadership_leaves_the_file_and_no_staged_files(stage: Stage) -> None:
    async def lost() -> None:
        raise LeadershipLost

    await stage.publisher().publish()
    before, files = stage.proxy.routes.read_text(), sorted(os.listdir(stage.proxy.directory))

    with pytest.raises(LeadershipLost):
        await stage.publisher(still_leading=lost).publish()

    assert stage.proxy.routes.read_text() == before
    assert sorted(os.listdir(stage.proxy.directory)) == files


async def test_a_truncated_file_is_repaired_while_old_routes_serve(stage: Stage) -> None:
    _, instance = await rows.add_app(stage.database, "shop", port=stage.port, seat=0)
    publisher = stage.publisher()
    number = await publisher.apply({"shop.example.test": instance})
    os.truncate(stage.proxy.routes, 100)

    with pytest.raises(NotConfirmed) as raised:
        await stage.publisher(confirm_seconds=BRIEFLY).confirm(number + 1, {})
    assert "the route file" in raised.value.failure.evidence

    assert await publisher.repair() is RouteFileState.TRUNCATED
    assert await publisher.repair() is RouteFileState.INTACT
    await publisher.confirm(number + 1, {"shop.example.test": instance})


async def test_a_removed_file_is_repaired(stage: Stage) -> None:
    publisher = stage.publisher()
    await publisher.apply({})
    stage.proxy.routes.unlink()

    assert await publisher.repair() is RouteFileState.MISSING
    assert stage.proxy.routes.exists()


async def test_a_dead_proxy_is_not_confirmed_in_bounded_time(stage: Stage) -> None:
    publisher = stage.publisher(confirm_seconds=BRIEFLY)
    await stage.proxy.stop()
    began = time.monotonic()

    with pytest.raises(NotConfirmed) as raised:
        await publisher.apply({})

    assert time.monotonic() - began < 3 * BRIEFLY
    assert raised.value.retryable and raised.value.code == "SWITCH_FAILED"
    assert "entry point `web` refuses connections" in raised.value.message


async def test_a_frozen_proxy_does_not_block_publishing(stage: Stage) -> None:
    publisher = stage.publisher(confirm_seconds=2 * BRIEFLY)
    stage.proxy.freeze()
    waiting = asyncio.create_task(publisher.apply({}))
    began = time.monotonic()

    for _ in range(5):
        await publisher.publish()
    assert not waiting.done(), "all five were written while the first was still unconfirmed"

    with pytest.raises(NotConfirmed, match="did not answer"):
        await waiting
    assert time.monotonic() - began < 6 * BRIEFLY


async def test_a_restarted_proxy_serves_the_same_routes(stage: Stage) -> None:
    _, instance = await rows.add_app(stage.database, "shop", port=stage.port, seat=0)
    publisher = stage.publisher()
    number = await publisher.apply({"shop.example.test": instance})
    await stage.proxy.stop()
    await stage.proxy.start()

    await publisher.confirm(number, {"shop.example.test": instance})


async def test_a_proxy_killed_before_reading_serves_the_new_routes(
    stage: Stage,
) -> None:
    app, old = await rows.add_app(stage.database, "shop", port=stage.port, seat=0)
    publisher = stage.publisher()
    await publisher.apply({"shop.example.test": old})
    stage.proxy.freeze()
    new = await rows.add_instance(stage.database, app, slot=1, port=stage.port)
    await rows.want(stage.database, app, new)
    number = await publisher.publish()
    await stage.proxy.stop()
    await stage.proxy.start()

    await publisher.confirm(number, {"shop.example.test": new})


async def test_an_invalid_domain_of_one_app_affects_no_other_app(stage: Stage) -> None:
    _, bad = await rows.add_app(
        stage.database, "bad", port=stage.port, seat=0, hosts=['{{ env "HOME" }}.org']
    )
    _, good = await rows.add_app(stage.database, "good", port=stage.port, seat=1)
    publisher = stage.publisher()

    number = await publisher.apply({"good.example.test": good, "bad.example.test": bad})
    with pytest.raises(RouteRefused, match="host name"):
        await publisher.confirm(number, {'{{ env "HOME" }}.org': bad})


async def test_the_error_of_an_unwritable_directory_hides_its_path(stage: Stage) -> None:
    file = RouteFile(stage.proxy.directory / "absent" / "routes.yml")

    with pytest.raises(NotPublished) as raised:
        await stage.publisher(file=file).publish()

    assert isinstance(raised.value, StackynError) and raised.value.retryable
    assert str(stage.proxy.directory) not in raised.value.message + raised.value.hint


async def test_an_operators_redirect_to_https_counts_if_tls_answers(make_stage: MakeStage) -> None:
    stage: Stage = await make_stage(tls=True, start=False)
    plain, tls = stage.proxy.entry_points
    redirection = f"--entrypoints.{plain.name}.http.redirections.entrypoint"
    await stage.proxy.start(
        [*stage.proxy.arguments(), f"{redirection}.to={tls.name}", f"{redirection}.scheme=https"]
    )
    _, instance = await rows.add_app(stage.database, "shop", port=stage.port, seat=0)

    await stage.publisher().apply({"shop.example.test": instance})
    only_plain = stage.publisher(context=_with(stage, entry_points=(plain,)), confirm_seconds=BRIEFLY)
    with pytest.raises(NotConfirmed, match="redirects elsewhere"):
        await only_plain.apply({})


async def test_old_publication_rows_are_deleted(
    database: Database, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stackyn_server.store.publications.KEPT", 3)
    publisher = stage.publisher()
    for _ in range(10):
        last = await publisher.publish()

    async with database.connection() as connection:
        numbers = await connection.fetch("SELECT number FROM publication ORDER BY number")
    assert [row["number"] for row in numbers] == [last - 2, last - 1, last]


def _with(stage: Stage, **changes: Any) -> RenderContext:
    return replace(stage.context, **changes)
