from __future__ import annotations

import asyncio
import json
import os
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
from tests.integration.ingress.conftest import BRIEFLY, IngressSetup, MakeSetup, address
from tests.integration.ingress.parts import backend, free_port, get, says

GONE = InstanceId(10**9)


def numbers(setup: IngressSetup) -> str:
    text = json.loads(setup.proxy.routes.read_text())
    return str(text["http"]["middlewares"]["stackyn-marker"]["redirectRegex"]["replacement"])


async def test_a_confirmed_route_is_served(setup: IngressSetup) -> None:
    _, instance = await rows.add_app(setup.database, "shop", port=setup.port, seat=0, hosts=["www.shop.org"])
    async with backend(address(0), setup.port, says("hello")):
        await setup.publisher().apply({"shop.example.test": instance, "www.shop.org": instance})

        for host in ("shop.example.test", "www.shop.org"):
            assert await get(setup.proxy.entry_points[0], host) == (200, "hello")


async def test_prepare_removes_no_file_that_is_being_written(setup: IngressSetup) -> None:
    """A job of a killed server publishes as soon as the next server has started."""
    starting: list[asyncio.Task[int]] = []

    async def start() -> None:
        if not starting:
            starting.append(asyncio.create_task(publisher.prepare()))
            await asyncio.sleep(0.2)

    publisher = setup.publisher(still_leading=start)

    number = await publisher.publish()

    assert await starting[0] == number + 1


async def test_every_entry_point_is_checked(make_setup: MakeSetup) -> None:
    setup: IngressSetup = await make_setup(tls=True, https_port=8443)
    _, instance = await rows.add_app(setup.database, "shop", port=setup.port, seat=0)
    plain, tls = setup.proxy.entry_points
    async with backend(address(0), setup.port, says("hello")):
        await setup.publisher().apply({"shop.example.test": instance})

        assert await get(tls, "shop.example.test") == (200, "hello")
        assert (await get(plain, "shop.example.test"))[0] == 301


async def test_an_entry_point_that_refuses_is_named(setup: IngressSetup) -> None:
    points = (*setup.proxy.entry_points, EntryPoint("second", free_port()))
    publisher = setup.publisher(context=_with(setup, entry_points=points), confirm_seconds=BRIEFLY)

    with pytest.raises(NotConfirmed, match="`second` refuses connections"):
        await publisher.apply({})


async def test_a_withdrawn_host_is_confirmed_gone(setup: IngressSetup) -> None:
    app, instance = await rows.add_app(setup.database, "shop", port=setup.port, seat=0)
    publisher = setup.publisher()
    await publisher.apply({"shop.example.test": instance})

    await rows.withdraw(setup.database, app)
    await publisher.apply({"shop.example.test": None})

    assert (await get(setup.proxy.entry_points[0], "shop.example.test"))[0] == 404


async def test_a_host_that_still_answers_is_not_confirmed_gone(setup: IngressSetup) -> None:
    _, instance = await rows.add_app(setup.database, "shop", port=setup.port, seat=0)
    await setup.publisher().apply({"shop.example.test": instance})

    publisher = setup.publisher(confirm_seconds=BRIEFLY)
    with pytest.raises(NotConfirmed, match="still answers for shop"):
        await publisher.apply({"shop.example.test": None})


async def test_another_instance_than_the_expected_one_is_not_confirmed(setup: IngressSetup) -> None:
    await rows.add_app(setup.database, "shop", port=setup.port, seat=0)

    with pytest.raises(NotConfirmed, match="another instance"):
        await setup.publisher(confirm_seconds=BRIEFLY).apply({"shop.example.test": GONE})


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
async def test_a_host_without_its_router_is_not_confirmed(setup: IngressSetup, damage: Any) -> None:
    app, instance = await rows.add_app(setup.database, "shop", port=setup.port, seat=0)
    assert app == 1

    with pytest.raises(NotConfirmed, match="does not serve shop"):
        await setup.publisher(renderer=_break(damage), confirm_seconds=BRIEFLY).apply(
            {"shop.example.test": instance}
        )


async def test_a_rejected_file_keeps_the_old_routes_and_isnt_confirmed(setup: IngressSetup) -> None:
    _, instance = await rows.add_app(setup.database, "shop", port=setup.port, seat=0)
    async with backend(address(0), setup.port, says("hello")):
        await setup.publisher().apply({"shop.example.test": instance})

        rejected = setup.publisher(
            renderer=lambda *_: RenderedFile('{"http":{"routers":5}}\n'), confirm_seconds=BRIEFLY
        )
        with pytest.raises(NotConfirmed, match="the marker is behind"):
            await rejected.apply({"shop.example.test": instance})

        assert await get(setup.proxy.entry_points[0], "shop.example.test") == (200, "hello")
        await setup.publisher().apply({"shop.example.test": instance})


async def test_callers_at_the_same_time_share_a_publication(setup: IngressSetup) -> None:
    publisher = setup.publisher()

    taken = await asyncio.gather(*(publisher.publish() for _ in range(20)))

    assert len(set(taken)) <= 2
    assert numbers(setup).endswith(f"1-{max(taken)}")


async def test_no_caller_shares_a_snapshot_older_than_its_commit(setup: IngressSetup) -> None:
    publisher = setup.publisher()
    hosts: dict[str, InstanceId] = {}

    async def deploy(number: int) -> int:
        _, instance = await rows.add_app(setup.database, f"app{number}", port=setup.port, seat=number)
        taken = await publisher.publish()
        hosts[f"app{number}.example.test"] = instance
        assert f"`app{number}.example.test`" in setup.proxy.routes.read_text()
        return taken

    taken = await asyncio.gather(*(deploy(number) for number in range(30)))

    await publisher.confirm(max(taken), hosts)


async def test_cancelling_one_caller_does_not_cancel_the_others(setup: IngressSetup) -> None:
    publisher = setup.publisher()
    callers = [asyncio.create_task(publisher.publish()) for _ in range(5)]
    await asyncio.sleep(0)
    callers[0].cancel()

    ended = await asyncio.gather(*callers, return_exceptions=True)

    assert isinstance(ended[0], asyncio.CancelledError)
    assert all(isinstance(number, int) for number in ended[1:])
    await publisher.confirm(max(number for number in ended[1:] if isinstance(number, int)), {})


async def test_every_waiting_caller_gets_the_error_at_once(setup: IngressSetup) -> None:
    publisher = setup.publisher()
    await setup.database.close()

    ended = await asyncio.gather(*(publisher.publish() for _ in range(5)), return_exceptions=True)

    assert all(isinstance(error, DatabaseUnavailable) for error in ended), ended


async def test_a_server_of_another_epoch_writes_nothing(setup: IngressSetup) -> None:
    publisher = setup.publisher()
    await publisher.apply({})
    before = setup.proxy.routes.read_text()
    async with setup.database.transaction() as connection:
        await connection.execute("UPDATE installation SET epoch = epoch + 1")

    with pytest.raises(LeadershipLost):
        await publisher.publish()

    assert setup.proxy.routes.read_text() == before


async def test_lost_leadership_leaves_the_file_and_no_staged_files(setup: IngressSetup) -> None:
    async def lost() -> None:
        raise LeadershipLost

    await setup.publisher().publish()
    before, files = setup.proxy.routes.read_text(), sorted(os.listdir(setup.proxy.directory))

    with pytest.raises(LeadershipLost):
        await setup.publisher(still_leading=lost).publish()

    assert setup.proxy.routes.read_text() == before
    assert sorted(os.listdir(setup.proxy.directory)) == files


async def test_a_truncated_file_is_repaired_while_old_routes_serve(setup: IngressSetup) -> None:
    _, instance = await rows.add_app(setup.database, "shop", port=setup.port, seat=0)
    publisher = setup.publisher()
    number = await publisher.apply({"shop.example.test": instance})
    os.truncate(setup.proxy.routes, 100)

    with pytest.raises(NotConfirmed) as raised:
        await setup.publisher(confirm_seconds=BRIEFLY).confirm(number + 1, {})
    assert "the route file" in raised.value.failure.evidence

    assert await publisher.repair() is RouteFileState.TRUNCATED
    assert await publisher.repair() is RouteFileState.INTACT
    await publisher.confirm(number + 1, {"shop.example.test": instance})


async def test_a_removed_file_is_repaired(setup: IngressSetup) -> None:
    publisher = setup.publisher()
    await publisher.apply({})
    setup.proxy.routes.unlink()

    assert await publisher.repair() is RouteFileState.MISSING
    assert setup.proxy.routes.exists()


async def test_a_dead_proxy_is_not_confirmed(setup: IngressSetup) -> None:
    """`tests/bench/ingress` asserts the seconds after which confirmation gives up."""
    raised = await apply_to_a_dead_proxy(setup)

    assert raised.retryable and raised.code == "SWITCH_FAILED"
    assert "entry point `web` refuses connections" in raised.message


async def apply_to_a_dead_proxy(setup: IngressSetup) -> NotConfirmed:
    await setup.proxy.stop()
    with pytest.raises(NotConfirmed) as raised:
        await setup.publisher(confirm_seconds=BRIEFLY).apply({})
    return raised.value


async def test_a_frozen_proxy_does_not_block_publishing(setup: IngressSetup) -> None:
    """`tests/bench/ingress` asserts the seconds after which confirmation gives up."""
    await publish_to_a_frozen_proxy(setup)


async def publish_to_a_frozen_proxy(setup: IngressSetup) -> None:
    publisher = setup.publisher(confirm_seconds=2 * BRIEFLY)
    setup.proxy.freeze()
    waiting = asyncio.create_task(publisher.apply({}))

    for _ in range(5):
        await publisher.publish()
    assert not waiting.done(), "all five were written while the first was still unconfirmed"

    with pytest.raises(NotConfirmed, match="did not answer"):
        await waiting


async def test_a_restarted_proxy_serves_the_same_routes(setup: IngressSetup) -> None:
    _, instance = await rows.add_app(setup.database, "shop", port=setup.port, seat=0)
    publisher = setup.publisher()
    number = await publisher.apply({"shop.example.test": instance})
    await setup.proxy.stop()
    await setup.proxy.start()

    await publisher.confirm(number, {"shop.example.test": instance})


async def test_a_proxy_killed_before_reading_serves_the_new_routes(
    setup: IngressSetup,
) -> None:
    app, old = await rows.add_app(setup.database, "shop", port=setup.port, seat=0)
    publisher = setup.publisher()
    await publisher.apply({"shop.example.test": old})
    setup.proxy.freeze()
    new = await rows.add_instance(setup.database, app, slot=1, port=setup.port)
    await rows.want(setup.database, app, new)
    number = await publisher.publish()
    await setup.proxy.stop()
    await setup.proxy.start()

    await publisher.confirm(number, {"shop.example.test": new})


async def test_an_invalid_domain_of_one_app_affects_no_other_app(setup: IngressSetup) -> None:
    _, bad = await rows.add_app(
        setup.database, "bad", port=setup.port, seat=0, hosts=['{{ env "HOME" }}.org']
    )
    _, good = await rows.add_app(setup.database, "good", port=setup.port, seat=1)
    publisher = setup.publisher()

    number = await publisher.apply({"good.example.test": good, "bad.example.test": bad})
    with pytest.raises(RouteRefused, match="host name"):
        await publisher.confirm(number, {'{{ env "HOME" }}.org': bad})


async def test_the_error_of_an_unwritable_directory_hides_its_path(setup: IngressSetup) -> None:
    file = RouteFile(setup.proxy.directory / "absent" / "routes.yml")

    with pytest.raises(NotPublished) as raised:
        await setup.publisher(file=file).publish()

    assert isinstance(raised.value, StackynError) and raised.value.retryable
    assert str(setup.proxy.directory) not in raised.value.message + raised.value.hint


async def test_an_operators_redirect_to_https_counts_if_tls_answers(make_setup: MakeSetup) -> None:
    setup: IngressSetup = await make_setup(tls=True, start=False)
    plain, tls = setup.proxy.entry_points
    redirection = f"--entrypoints.{plain.name}.http.redirections.entrypoint"
    await setup.proxy.start(
        [*setup.proxy.arguments(), f"{redirection}.to={tls.name}", f"{redirection}.scheme=https"]
    )
    _, instance = await rows.add_app(setup.database, "shop", port=setup.port, seat=0)

    await setup.publisher().apply({"shop.example.test": instance})
    only_plain = setup.publisher(context=_with(setup, entry_points=(plain,)), confirm_seconds=BRIEFLY)
    with pytest.raises(NotConfirmed, match="redirects elsewhere"):
        await only_plain.apply({})


async def test_old_publication_rows_are_deleted(
    database: Database, setup: IngressSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stackyn_server.store.publications.KEPT", 3)
    publisher = setup.publisher()
    for _ in range(10):
        last = await publisher.publish()

    async with database.connection() as connection:
        numbers = await connection.fetch("SELECT number FROM publication ORDER BY number")
    assert [row["number"] for row in numbers] == [last - 2, last - 1, last]


def _with(setup: IngressSetup, **changes: Any) -> RenderContext:
    return replace(setup.context, **changes)
