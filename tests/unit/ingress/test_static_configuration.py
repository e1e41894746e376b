from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from stackyn_server.config import IngressSettings
from stackyn_server.ingress.entry_points import managed
from stackyn_server.ingress.static_configuration import StaticConfiguration, resolver_name
from stackyn_server.ingress.validators import RouteRefused


def arguments_for(settings: IngressSettings, metrics_port: int | None = None) -> tuple[str, ...]:
    seen = PurePosixPath("/etc/stackyn")
    return StaticConfiguration(settings, managed(settings), seen, metrics_port).arguments()


def test_plain_http_needs_these_arguments() -> None:
    assert arguments_for(IngressSettings(http_port=8000, read_seconds=600)) == (
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
        "--log.level=WARN",
        "--log.format=json",
        "--providers.file.filename=/etc/stackyn/routes/routes.yml",
        "--providers.file.watch=true",
        "--providers.providersthrottleduration=50ms",
        "--entrypoints.web.address=:8000",
        "--entrypoints.web.reuseport=true",
        "--entrypoints.web.transport.respondingtimeouts.readtimeout=600s",
        "--entrypoints.web.transport.lifecycle.requestacceptgracetimeout=1s",
        "--entrypoints.web.transport.lifecycle.gracetimeout=10s",
        "--entrypoints.web.http.sanitizepath=false",
        "--entrypoints.web.http.aliasheadersstrategy=delete",
    )


def test_metrics_listen_on_loopback_only_and_only_when_asked() -> None:
    with_metrics = arguments_for(IngressSettings(), metrics_port=9191)

    assert "--entrypoints.metrics.address=127.0.0.1:9191" in with_metrics
    assert not any("metrics" in argument for argument in arguments_for(IngressSettings()))


def test_dashboard_and_trusted_headers_are_off_by_default() -> None:
    command = " ".join(arguments_for(IngressSettings(https_port=443, acme_email="a@example.test"), 9191))

    assert "api" not in command and "insecure" not in command and "trustedips" not in command


def test_every_entry_point_trusts_only_the_operators_proxies() -> None:
    arguments = arguments_for(IngressSettings(https_port=443, trusted_proxies=("192.0.2.7", "2001:db8::/32")))

    for name in ("web", "websecure"):
        assert f"--entrypoints.{name}.forwardedheaders.trustedips=192.0.2.7/32,2001:db8::/32" in arguments
    assert [line for line in arguments if "keepalive" in line] == [
        "--entrypoints.web.transport.keepalivemaxrequests=1"
    ]


def test_the_http_port_decides_the_acme_challenge() -> None:
    standard = arguments_for(IngressSettings(https_port=443, acme_email="ops@example.test"))
    other_port = arguments_for(IngressSettings(http_port=8000, https_port=443, acme_email="ops@example.test"))

    assert "--certificatesresolvers.stackyn.acme.httpchallenge.entrypoint=web" in standard
    assert "--certificatesresolvers.stackyn.acme.tlschallenge=true" in other_port


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (IngressSettings(acme_email="a@b.test"), ""),
        (IngressSettings(https_port=443), ""),
        (IngressSettings(https_port=443, acme_email="a@b.test"), "stackyn"),
        (IngressSettings(https_port=443, certificate_resolver="le"), "le"),
        (IngressSettings(https_port=443, acme_email="a@b.test", certificate_file="/c"), ""),
        (IngressSettings(managed=False, certificate_resolver="le"), "le"),
    ],
)
def test_which_resolver_routers_name(settings: IngressSettings, name: str) -> None:
    assert resolver_name(settings) == name


@pytest.mark.parametrize(
    "settings",
    [
        IngressSettings(https_port=443, acme_email="a b"),
        IngressSettings(https_port=443, acme_email="a@b.test", acme_server="http://ca.test/directory"),
        IngressSettings(https_port=443, certificate_resolver="a.b=c"),
    ],
)
def test_a_value_that_looks_like_another_option_is_refused(settings: IngressSettings) -> None:
    with pytest.raises(RouteRefused):
        arguments_for(settings)
