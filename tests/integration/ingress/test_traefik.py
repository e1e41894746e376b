"""Our own proxy from server start to replacement, as a process. tests/engine runs it in its container."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from aiohttp import ClientSession, web
from cryptography import x509

from stackyn_server.config import IngressSettings
from stackyn_server.domain.ingress import IngressState
from stackyn_server.ingress import fallback
from stackyn_server.ingress.binary import BinaryUnusable, locate
from stackyn_server.ingress.configuration_directory import CertificateUnusable, ConfigurationDirectory
from stackyn_server.ingress.confirmation import NotConfirmed
from stackyn_server.ingress.listeners import listener_counts, wait_for_second_listeners
from stackyn_server.ingress.other_listeners import PortShared
from stackyn_server.ingress.route_file import RouteFile, RouteFileState
from stackyn_server.ingress.static_configuration import StaticConfiguration
from stackyn_server.ingress.traefik import TraefikIngress
from tests.integration.ingress import rows
from tests.integration.ingress.conftest import BRIEFLY, CONFIRM_SECONDS, IngressSetup, MakeSetup, address
from tests.integration.ingress.parts import PostClients, Proxy, backend, free_port, get, says, self_signed
from tests.integration.ingress.process_engine import ProcessEngine
from tests.patience import within

HOST = "shop.example.test"
CLIENTS = 8
NO_PROCESS = 2**22 + 1  # above what the kernel gives out


class OwnIngress:
    """A `TraefikIngress` over a setup whose proxy was not started."""

    def __init__(
        self,
        setup: IngressSetup,
        confirm_seconds: float = CONFIRM_SECONDS,
        engine: ProcessEngine | None = None,
        metrics_port: int | None = None,
        **settings: object,
    ) -> None:
        self.setup = setup
        self.engine = engine or ProcessEngine(setup.proxy)
        directory = ConfigurationDirectory(setup.proxy.directory, PurePosixPath(setup.proxy.directory))
        file = RouteFile(directory.routes, directory.staging)
        publisher = setup.publisher(file=file, confirm_seconds=confirm_seconds)
        ingress = IngressSettings.model_validate(
            {"confirm_seconds": confirm_seconds, "http_port": setup.proxy.entry_points[0].port, **settings}
        )
        configuration = StaticConfiguration(ingress, setup.proxy.entry_points, directory.seen, metrics_port)
        self.ingress = TraefikIngress(publisher, self.engine, configuration, directory)


@pytest.fixture
async def own(make_setup: MakeSetup) -> AsyncIterator[OwnIngress]:
    setup: IngressSetup = await make_setup(start=False)
    setup.proxy.routes.unlink()
    yield OwnIngress(setup)


@pytest.fixture
async def impatient(make_setup: MakeSetup) -> OwnIngress:
    """With a short confirmation, for tests in which it fails."""
    setup: IngressSetup = await make_setup(start=False)
    return OwnIngress(setup, confirm_seconds=2 * BRIEFLY)


async def test_prepare_writes_the_file_and_starts_the_proxy(own: OwnIngress) -> None:
    _, instance = await rows.add_app(own.setup.database, "shop", port=own.setup.port, seat=0)

    await own.ingress.prepare()

    assert own.engine.started == 1
    async with backend(address(0), own.setup.port, says("hello")):
        assert await get(own.ingress.entry_points[0], HOST) == (200, "hello")
    await own.ingress.confirm(1, {HOST: instance})


async def test_a_second_server_start_leaves_the_running_proxy_alone(own: OwnIngress) -> None:
    await own.ingress.prepare()
    await own.ingress.prepare()

    assert own.engine.started == 1


async def test_a_proxy_that_started_without_its_file_is_replaced(impatient: OwnIngress) -> None:
    await impatient.ingress.prepare()
    await impatient.setup.proxy.stop()
    impatient.setup.proxy.routes.unlink()
    await impatient.setup.proxy.start()  # as the engine's restart policy would
    async with within(5):
        while "Cannot start the provider" not in await impatient.setup.proxy.log():  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    assert await impatient.ingress.repair() is RouteFileState.MISSING

    assert impatient.engine.started == 2
    await impatient.ingress.apply({})


async def test_repair_starts_a_stopped_proxy_and_leaves_a_running_one(own: OwnIngress) -> None:
    await own.ingress.prepare()
    assert await own.ingress.repair() is RouteFileState.INTACT
    assert own.engine.started == 1

    await own.setup.proxy.stop()
    await own.ingress.repair()

    assert own.engine.started == 2
    await own.ingress.apply({})


async def test_a_truncated_file_is_repaired_before_a_replacement(own: OwnIngress) -> None:
    _, instance = await rows.add_app(own.setup.database, "shop", port=own.setup.port, seat=0)
    await own.ingress.prepare()
    own.setup.proxy.routes.write_text("{")

    await own.ingress.replace()

    await own.ingress.apply({HOST: instance})


async def test_a_proxy_that_cannot_start_is_reported_with_its_log(
    make_setup: MakeSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup: IngressSetup = await make_setup(start=False)
    own = OwnIngress(setup, confirm_seconds=BRIEFLY)
    monkeypatch.setattr(StaticConfiguration, "arguments", lambda _: ("--no.such.option=true",))

    with pytest.raises(NotConfirmed) as raised:
        await own.ingress.prepare()

    assert "does not listen" in raised.value.message
    assert "field not found" in raised.value.failure.evidence


async def test_no_proxy_is_started_beside_another_program(make_setup: MakeSetup) -> None:
    setup: IngressSetup = await make_setup(start=False)
    own = OwnIngress(setup)
    port = setup.proxy.entry_points[0].port
    async with backend("0.0.0.0", port, says("the port's owner")):
        with pytest.raises(PortShared, match=rf"Process {os.getpid()} .* listens on port {port} "):
            await own.ingress.prepare()

    assert own.engine.started == 0
    await own.ingress.prepare()


@pytest.fixture
async def second_proxy(own: OwnIngress, tmp_path: Path) -> AsyncIterator[Proxy]:
    """A proxy of another installation on our port, with the options of ours."""
    proxy = Proxy(tmp_path / "other", own.setup.proxy.entry_points)
    await asyncio.to_thread(fallback.install, proxy.directory)
    await asyncio.to_thread(proxy.routes.write_text, "{}")
    yield proxy
    await proxy.stop()


async def test_a_second_proxy_on_a_port_is_noticed_and_named(own: OwnIngress, second_proxy: Proxy) -> None:
    _, instance = await rows.add_app(own.setup.database, "shop", port=own.setup.port, seat=0)
    await own.ingress.prepare()
    await own.ingress.apply({HOST: instance})
    point = own.ingress.entry_points[0]
    await own.ingress.check_ports()

    listeners = await asyncio.to_thread(listener_counts, [point.port])
    await second_proxy.start()
    async with within(10):
        await wait_for_second_listeners(listeners)

    async with backend(address(0), own.setup.port, says("hello")):
        answers = {await get(point, HOST) for _ in range(40)}
    assert len(answers) == 2, f"the kernel gives both proxies a part of the visitors: {answers}"
    with pytest.raises(
        PortShared, match=rf"Process {second_proxy.pid} \(traefik\) listens on port {point.port} "
    ):
        await own.ingress.check_ports()
    with pytest.raises(PortShared, match=rf"of 12 new connections to port {point.port}"):
        await own.setup.publisher().check_answers()  # an operator's proxy: its processes may be anywhere

    await second_proxy.stop()
    await own.ingress.check_ports()


async def test_a_request_under_way_survives_the_replacement(own: OwnIngress) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        arrived.set()
        await go_on.wait()
        return web.Response(text="finished")

    await rows.add_app(own.setup.database, "shop", port=own.setup.port, seat=0)
    await own.ingress.prepare()
    async with backend(address(0), own.setup.port, slow), ClientSession() as session:
        url = f"http://127.0.0.1:{own.ingress.entry_points[0].port}/"
        request = asyncio.create_task(session.get(url, headers={"Host": HOST}).__aenter__())
        await arrived.wait()
        replacing = asyncio.create_task(own.ingress.replace())
        asyncio.get_running_loop().call_later(0.3, go_on.set)
        response = await request
        assert (response.status, await response.text()) == (200, "finished")
        await own.ingress.check_ports()  # our own replacement may share the port
        await replacing
        await own.ingress.check_ports()
        response.close()


async def test_connections_that_wait_in_the_old_proxy_are_answered(own: OwnIngress) -> None:
    """On a busy machine the old proxy may not have accepted every connection when it gets SIGTERM."""
    await rows.add_app(own.setup.database, "shop", port=own.setup.port, seat=0)
    await own.ingress.prepare()
    clients = PostClients(own.ingress.entry_points[0], HOST)
    async with backend(address(0), own.setup.port, says("x")), clients.running(CLIENTS):
        await clients.until(lambda: clients.answers["x"] > CLIENTS)
        own.setup.proxy.freeze()
        await own.ingress.replace()
        before = clients.answers["x"]
        await clients.until(lambda: clients.answers["x"] > before + CLIENTS)

    assert [failure for failure in clients.failures if failure.startswith("fresh")] == []


async def test_replacement_works_without_choosing_the_listener(
    own: OwnIngress, monkeypatch: pytest.MonkeyPatch
) -> None:
    await own.ingress.prepare()
    state = await own.engine.ingress_state()
    assert state is not None
    without_process = replace(state, pid=NO_PROCESS)

    async def ingress_state() -> IngressState:
        return without_process

    monkeypatch.setattr(own.engine, "ingress_state", ingress_state)
    await own.ingress.replace()

    assert own.engine.started == 2
    await own.ingress.apply({})


async def test_a_new_proxy_that_fails_leaves_the_old_one_serving(impatient: OwnIngress) -> None:
    await impatient.ingress.prepare()
    old = impatient.setup.proxy.pid
    changed = OwnIngress(impatient.setup, 2 * BRIEFLY, impatient.engine, metrics_port=1)
    async with backend("127.0.0.1", 1, says("the port's owner")):
        with pytest.raises(NotConfirmed, match="beside the old one"):
            await changed.ingress.ensure()

    assert impatient.setup.proxy.pid == old
    await impatient.ingress.apply({})


async def test_an_operators_certificate_and_its_renewal_are_served(
    make_setup: MakeSetup, tmp_path: Path
) -> None:
    setup: IngressSetup = await make_setup(tls=True, start=False)
    chain, key = tmp_path / "c.pem", tmp_path / "k.pem"
    await asyncio.to_thread(self_signed, "first.example.test", chain, key)
    own = OwnIngress(
        setup,
        https_port=setup.proxy.entry_points[1].port,
        certificate_file=str(chain),
        certificate_key_file=str(key),
    )
    await own.ingress.prepare()
    assert await _subject(setup.proxy.entry_points[1].port) == "first.example.test"

    await asyncio.to_thread(self_signed, "second.example.test", chain, key)
    await own.ingress.repair()
    await own.ingress.apply({})

    assert await _subject(setup.proxy.entry_points[1].port) == "second.example.test"
    assert own.engine.started == 1


def test_a_certificate_with_another_key_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        self_signed(f"{name}.example.test", tmp_path / f"{name}.pem", tmp_path / f"{name}.key")
    directory = ConfigurationDirectory(tmp_path / "ingress", PurePosixPath("/etc/stackyn"))
    directory.make()

    with pytest.raises(CertificateUnusable):
        directory.install_certificate(str(tmp_path / "a.pem"), str(tmp_path / "b.key"))
    assert list((tmp_path / "ingress" / "certificates").iterdir()) == []


def test_a_private_key_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    self_signed("a.example.test", tmp_path / "a.pem", tmp_path / "a.key")
    directory = ConfigurationDirectory(tmp_path / "ingress", PurePosixPath("/etc/stackyn"))
    directory.make()

    chain, key = directory.install_certificate(str(tmp_path / "a.pem"), str(tmp_path / "a.key"))

    assert chain.startswith("/etc/stackyn/certificates/") and key.endswith(".key")
    written = directory.host / "certificates" / PurePosixPath(key).name
    assert written.stat().st_mode & 0o777 == 0o600
    assert written.parent.stat().st_mode & 0o777 == 0o700


def test_the_packaged_binary_is_the_one_we_know() -> None:
    path, digest = locate("")

    assert path.name == "traefik" and len(digest) == 64


def test_only_the_packaged_binary_must_match_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = tmp_path / "traefik"
    unknown.write_bytes(b"\x7fELF")
    monkeypatch.setattr("stackyn_server.ingress.binary.packaged", lambda: unknown)

    with pytest.raises(BinaryUnusable):
        locate("")
    assert locate(str(unknown))[0] == unknown
    with pytest.raises(BinaryUnusable, match="can't be read"):
        locate(str(tmp_path / "absent"))


async def test_the_metrics_port_counts_requests_of_each_service(make_setup: MakeSetup) -> None:
    setup: IngressSetup = await make_setup(start=False)
    metrics_port = free_port()
    seen = PurePosixPath(setup.proxy.directory)
    await setup.proxy.start(
        StaticConfiguration(IngressSettings(), setup.proxy.entry_points, seen, metrics_port).arguments()
    )
    app, instance = await rows.add_app(setup.database, "shop", port=setup.port, seat=0)
    await setup.publisher().apply({HOST: instance})
    async with backend(address(0), setup.port, says("x")), ClientSession() as session:
        await get(setup.proxy.entry_points[0], HOST)
        async with session.get(f"http://127.0.0.1:{metrics_port}/metrics") as response:
            text = await response.text()

    assert f'service="app-{app}@file"' in text


async def _subject(port: int) -> str:
    """Return the common name of the certificate that the proxy serves."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=HOST)
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return str(
        x509.load_der_x509_certificate(certificate)
        .subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0]
        .value
    )
