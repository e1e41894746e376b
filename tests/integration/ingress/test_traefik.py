"""Our own proxy from server start to replacement, as a process. tests/engine runs it in its container."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from aiohttp import ClientSession, web
from cryptography import x509

from stackyn_server.config import IngressSettings
from stackyn_server.domain.ingress import IngressState
from stackyn_server.ingress.binary import BinaryUnusable, locate
from stackyn_server.ingress.configuration_directory import CertificateUnusable, ConfigurationDirectory
from stackyn_server.ingress.confirmation import NotConfirmed
from stackyn_server.ingress.route_file import RouteFile, RouteFileState
from stackyn_server.ingress.static_configuration import StaticConfiguration
from stackyn_server.ingress.traefik import TraefikIngress
from tests.integration.ingress import rows
from tests.integration.ingress.conftest import BRIEFLY, CONFIRM_SECONDS, MakeStage, Stage, address
from tests.integration.ingress.parts import Load, backend, free_port, get, says, self_signed
from tests.integration.ingress.process_engine import ProcessEngine
from tests.patience import within

HOST = "shop.example.test"
CLIENTS = 8
NO_PROCESS = 2**22 + 1  # above what the kernel gives out


class Own:
    """A `TraefikIngress` over a stage whose proxy was not started."""

    def __init__(
        self,
        stage: Stage,
        confirm_seconds: float = CONFIRM_SECONDS,
        engine: ProcessEngine | None = None,
        metrics_port: int | None = None,
        **settings: object,
    ) -> None:
        self.stage = stage
        self.engine = engine or ProcessEngine(stage.proxy)
        directory = ConfigurationDirectory(stage.proxy.directory, PurePosixPath(stage.proxy.directory))
        file = RouteFile(directory.routes, directory.staging)
        publisher = stage.publisher(file=file, confirm_seconds=confirm_seconds)
        ingress = IngressSettings.model_validate(
            {"confirm_seconds": confirm_seconds, "http_port": stage.proxy.entry_points[0].port, **settings}
        )
        configuration = StaticConfiguration(ingress, stage.proxy.entry_points, directory.seen, metrics_port)
        self.ingress = TraefikIngress(publisher, self.engine, configuration, directory)


@pytest.fixture
async def own(make_stage: MakeStage) -> AsyncIterator[Own]:
    stage: Stage = await make_stage(start=False)
    stage.proxy.routes.unlink()
    yield Own(stage)


@pytest.fixture
async def impatient(make_stage: MakeStage) -> Own:
    """With a short confirmation, for tests in which it fails."""
    stage: Stage = await make_stage(start=False)
    return Own(stage, confirm_seconds=2 * BRIEFLY)


async def test_prepare_writes_the_file_and_starts_the_proxy(own: Own) -> None:
    _, instance = await rows.add_app(own.stage.database, "shop", port=own.stage.port, seat=0)

    await own.ingress.prepare()

    assert own.engine.started == 1
    async with backend(address(0), own.stage.port, says("hello")):
        assert await get(own.ingress.entry_points[0], HOST) == (200, "hello")
    await own.ingress.confirm(1, {HOST: instance})


async def test_a_second_server_start_leaves_the_running_proxy_alone(own: Own) -> None:
    await own.ingress.prepare()
    await own.ingress.prepare()

    assert own.engine.started == 1


async def test_a_proxy_that_started_without_its_file_is_replaced(impatient: Own) -> None:
    await impatient.ingress.prepare()
    await impatient.stage.proxy.stop()
    impatient.stage.proxy.routes.unlink()
    await impatient.stage.proxy.start()  # as the engine's restart policy would
    async with within(5):
        while "Cannot start the provider" not in await impatient.stage.proxy.log():  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    assert await impatient.ingress.repair() is RouteFileState.MISSING

    assert impatient.engine.started == 2
    await impatient.ingress.apply({})


async def test_repair_starts_a_stopped_proxy_and_leaves_a_running_one(own: Own) -> None:
    await own.ingress.prepare()
    assert await own.ingress.repair() is RouteFileState.INTACT
    assert own.engine.started == 1

    await own.stage.proxy.stop()
    await own.ingress.repair()

    assert own.engine.started == 2
    await own.ingress.apply({})


async def test_a_truncated_file_is_repaired_before_a_replacement(own: Own) -> None:
    _, instance = await rows.add_app(own.stage.database, "shop", port=own.stage.port, seat=0)
    await own.ingress.prepare()
    own.stage.proxy.routes.write_text("{")

    await own.ingress.replace()

    await own.ingress.apply({HOST: instance})


async def test_a_proxy_that_cannot_start_is_reported_with_its_log(make_stage: MakeStage) -> None:
    stage: Stage = await make_stage(start=False)
    async with backend("0.0.0.0", stage.proxy.entry_points[0].port, says("the port's owner")):
        with pytest.raises(NotConfirmed) as raised:
            await Own(stage, confirm_seconds=BRIEFLY).ingress.prepare()

    assert "does not listen" in raised.value.message
    assert "address already in use" in raised.value.failure.evidence


async def test_a_request_under_way_survives_the_replacement(own: Own) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        arrived.set()
        await go_on.wait()
        return web.Response(text="finished")

    await rows.add_app(own.stage.database, "shop", port=own.stage.port, seat=0)
    await own.ingress.prepare()
    async with backend(address(0), own.stage.port, slow), ClientSession() as session:
        url = f"http://127.0.0.1:{own.ingress.entry_points[0].port}/"
        request = asyncio.create_task(session.get(url, headers={"Host": HOST}).__aenter__())
        await arrived.wait()
        replacing = asyncio.create_task(own.ingress.replace())
        asyncio.get_running_loop().call_later(0.3, go_on.set)
        response = await request
        assert (response.status, await response.text()) == (200, "finished")
        await replacing
        response.close()


async def test_connections_that_wait_in_the_old_proxy_are_answered(own: Own) -> None:
    """On a busy machine the old proxy may not have accepted every connection when it gets SIGTERM."""
    await rows.add_app(own.stage.database, "shop", port=own.stage.port, seat=0)
    await own.ingress.prepare()
    load = Load(own.ingress.entry_points[0], HOST)
    async with backend(address(0), own.stage.port, says("x")), load.running(CLIENTS):
        await load.until(lambda: load.answers["x"] > CLIENTS)
        own.stage.proxy.freeze()
        await own.ingress.replace()
        before = load.answers["x"]
        await load.until(lambda: load.answers["x"] > before + CLIENTS)

    assert [failure for failure in load.failures if failure.startswith("fresh")] == []


async def test_replacement_works_without_choosing_the_listener(
    own: Own, monkeypatch: pytest.MonkeyPatch
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


async def test_a_new_proxy_that_fails_leaves_the_old_one_serving(impatient: Own) -> None:
    await impatient.ingress.prepare()
    old = impatient.stage.proxy.pid
    changed = Own(impatient.stage, 2 * BRIEFLY, impatient.engine, metrics_port=1)
    async with backend("127.0.0.1", 1, says("the port's owner")):
        with pytest.raises(NotConfirmed, match="beside the old one"):
            await changed.ingress.ensure()

    assert impatient.stage.proxy.pid == old
    await impatient.ingress.apply({})


async def test_an_operators_certificate_and_its_renewal_are_served(
    make_stage: MakeStage, tmp_path: Path
) -> None:
    stage: Stage = await make_stage(tls=True, start=False)
    chain, key = tmp_path / "c.pem", tmp_path / "k.pem"
    await asyncio.to_thread(self_signed, "first.example.test", chain, key)
    own = Own(
        stage,
        https_port=stage.proxy.entry_points[1].port,
        certificate_file=str(chain),
        certificate_key_file=str(key),
    )
    await own.ingress.prepare()
    assert await _subject(stage.proxy.entry_points[1].port) == "first.example.test"

    await asyncio.to_thread(self_signed, "second.example.test", chain, key)
    await own.ingress.repair()
    await own.ingress.apply({})

    assert await _subject(stage.proxy.entry_points[1].port) == "second.example.test"
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


async def test_the_metrics_port_counts_requests_of_each_service(make_stage: MakeStage) -> None:
    stage: Stage = await make_stage(start=False)
    metrics_port = free_port()
    seen = PurePosixPath(stage.proxy.directory)
    await stage.proxy.start(
        StaticConfiguration(IngressSettings(), stage.proxy.entry_points, seen, metrics_port).arguments()
    )
    app, instance = await rows.add_app(stage.database, "shop", port=stage.port, seat=0)
    await stage.publisher().apply({HOST: instance})
    async with backend(address(0), stage.port, says("x")), ClientSession() as session:
        await get(stage.proxy.entry_points[0], HOST)
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
