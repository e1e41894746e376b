from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackyn_server.ingress.readback import validate
from stackyn_server.ingress.render import render, render_file
from stackyn_server.ingress.render_context import PublicationId
from stackyn_server.ingress.validators import RouteRefused
from stackyn_server.store.routes import RouteState
from tests.unit.ingress.builders import SECRET, a_context, a_route, an_https_context

PUBLICATION = PublicationId(3, 17)
ATTACKS = [
    '{{ env "HOME" }}',
    "{{",
    "a`) || PathPrefix(`/",
    "a.example.org\n",
    "a.example.org\r\nX: y",
    "a.example.org\x00",
    "A.example.org",
    "bücher.example.org",
    "xn--bcher-kva.example.org.",
    ".example.org",
    "a..example.org",
    "-a.example.org",
    "a-.example.org",
    "*.example.org",
    "127.0.0.1",
    "[::1]",
    "a b.example.org",
    "a.example.org:80",
    "١٢٣.example.org",
    "a" * 64 + ".example.org",
    ".".join(["a" * 60] * 5),
    "",
]


def http(context: Any, *routes: Any) -> dict[str, Any]:
    section: dict[str, Any] = render(context, PUBLICATION, routes).configuration["http"]
    return section


def test_one_app_on_plain_http_renders_this_configuration() -> None:
    assert http(a_context(own_upstreams=()), a_route(1, hosts=("www.shop.org",))) == {
        "routers": {
            "app-1-web": {
                "rule": "Host(`app1.example.test`) || Host(`www.shop.org`)",
                "priority": 10_000,
                "entryPoints": ["web"],
                "service": "app-1",
                "middlewares": ["stackyn-unforged"],
            },
            "confirm-app-1-web": {
                "rule": f"(Host(`app1.example.test`) || Host(`www.shop.org`)) && Path(`/.stackyn-{SECRET}`)",
                "priority": 1_000_000,
                "entryPoints": ["web"],
                "service": "app-1",
                "middlewares": ["confirm-app-1", "stackyn-unforged"],
            },
            "marker-web": {
                "rule": f"Host(`generation-{SECRET}.internal`)",
                "priority": 1_000_000,
                "entryPoints": ["web"],
                "service": "noop@internal",
                "middlewares": ["stackyn-marker"],
            },
        },
        "services": {
            "app-1": {
                "loadBalancer": {
                    "servers": [{"url": "http://10.213.4.0:8000"}],
                    "serversTransport": "stackyn-apps",
                }
            }
        },
        "middlewares": {
            "stackyn-unforged": {"headers": {"customRequestHeaders": {"Forwarded": ""}}},
            "stackyn-marker": {
                "redirectRegex": {"regex": "^.+$", "replacement": "http://stackyn.internal/3-17"}
            },
            "confirm-app-1": {
                "redirectRegex": {"regex": "^.+$", "replacement": "http://stackyn.internal/10/3-17"}
            },
        },
        "serversTransports": {
            "stackyn-apps": {
                "maxIdleConnsPerHost": 2048,
                "forwardingTimeouts": {"idleConnTimeout": "1s"},
            }
        },
    }


def test_the_api_is_an_upstream_on_the_servers_loopback_port() -> None:
    rendered = http(a_context())

    assert rendered["routers"]["api-web"]["rule"] == "Host(`api.example.test`)"
    assert rendered["services"]["api"]["loadBalancer"]["servers"] == [{"url": "http://127.0.0.1:8080"}]


def test_with_https_plain_routers_redirect_and_tls_routers_serve() -> None:
    routers = http(an_https_context(), a_route(1))["routers"]

    assert routers["app-1-web"]["middlewares"] == ["stackyn-unforged", "stackyn-to-https"]
    assert routers["app-1-websecure"]["middlewares"] == ["stackyn-unforged"]
    assert routers["app-1-websecure"]["tls"] == {}


def test_confirmation_answers_before_the_redirect_to_https() -> None:
    routers = http(an_https_context(), a_route(1))["routers"]

    chain = routers["confirm-app-1-web"]["middlewares"]
    assert chain == ["confirm-app-1", "stackyn-unforged", "stackyn-to-https"]
    assert routers["confirm-app-1-web"]["priority"] > routers["app-1-web"]["priority"]


def test_the_redirect_names_the_public_port() -> None:
    middlewares = http(an_https_context(https_port=8443), a_route(1))["middlewares"]

    assert middlewares["stackyn-to-https"]["redirectScheme"]["port"] == "8443"


def test_only_app_routers_name_the_certificate_resolver() -> None:
    routers = http(an_https_context(certificate_resolver="letsencrypt"), a_route(1))["routers"]

    assert routers["app-1-websecure"]["tls"] == {"certResolver": "letsencrypt"}
    assert routers["confirm-app-1-websecure"]["tls"] == {"certResolver": "letsencrypt"}
    assert routers["marker-websecure"]["tls"] == {}


def test_an_operators_certificate_is_the_default_one() -> None:
    rendered = render(an_https_context(certificate=("/c/a.crt", "/c/a.key")), PUBLICATION, [])

    pair = {"certFile": "/c/a.crt", "keyFile": "/c/a.key"}
    assert rendered.configuration["tls"] == {
        "certificates": [pair],
        "stores": {"default": {"defaultCertificate": pair}},
    }


@pytest.mark.parametrize(("hold_seconds", "turns"), [(20, 1), (25, 1), (26, 2), (60, 3), (75, 3)])
def test_a_held_app_waits_in_turns_of_at_most_25_seconds(hold_seconds: float, turns: int) -> None:
    rendered = http(a_context(hold_seconds=hold_seconds), a_route(7, state=RouteState.HELD))

    _, *chain = rendered["routers"]["app-7-web"]["middlewares"]
    addresses = [rendered["middlewares"][name]["forwardAuth"]["address"] for name in chain]
    assert addresses == [f"http://127.0.0.1:8081/hold/7/{turn}/{turns}" for turn in range(1, turns + 1)]


def test_more_than_nine_turns_stay_in_order() -> None:
    rendered = http(a_context(hold_seconds=300), a_route(7, state=RouteState.HELD))

    _, *chain = rendered["routers"]["app-7-web"]["middlewares"]
    assert chain == sorted(chain) and len(chain) == 12


def test_the_hold_endpoint_gets_no_credentials_of_visitors() -> None:
    middlewares = http(a_context(), a_route(7, state=RouteState.HELD))["middlewares"]

    asked = middlewares["hold-app-7-01"]["forwardAuth"]
    assert asked["authRequestHeaders"] == ["X-Stackyn-Hold"]
    assert asked["trustForwardHeader"] is False
    assert asked["maxResponseBodySize"] > 0


def test_only_the_held_app_is_held() -> None:
    routers = http(a_context(), a_route(7, state=RouteState.HELD), a_route(8))["routers"]

    assert routers["app-8-web"]["middlewares"] == ["stackyn-unforged"]


def test_an_h2c_app_is_reached_over_http2_without_tls() -> None:
    services = http(a_context(), a_route(1, protocol="h2c"), a_route(2))["services"]

    assert services["app-1"]["loadBalancer"]["servers"] == [{"url": "h2c://10.213.4.0:8000"}]
    assert services["app-2"]["loadBalancer"]["servers"][0]["url"].startswith("http://")


def test_an_unknown_protocol_is_refused() -> None:
    rendered = render(a_context(), PUBLICATION, [a_route(1, protocol="https"), a_route(2)])

    assert set(rendered.refused) == {"app1.example.test"}


def test_a_held_app_is_refused_where_nobody_could_release_it() -> None:
    rendered = render(a_context(hold_port=None), PUBLICATION, [a_route(7, state=RouteState.HELD), a_route(8)])

    assert set(rendered.refused) == {"app7.example.test"}
    assert "app-8-web" in rendered.configuration["http"]["routers"]


@pytest.mark.parametrize("host", ATTACKS)
def test_only_the_invalid_custom_domain_is_left_out(host: str) -> None:
    rendered = render(a_context(), PUBLICATION, [a_route(1, hosts=(host, "good.org")), a_route(2)])

    routers = rendered.configuration["http"]["routers"]
    assert routers["app-1-web"]["rule"] == "Host(`app1.example.test`) || Host(`good.org`)"
    assert "app-2-web" in routers
    assert list(rendered.refused) == [host]


@pytest.mark.parametrize("slug", ["a`b", "{{x}}", "a.b\n", "Ä", "a b", ""])
def test_a_bad_slug_takes_only_its_own_app_out(slug: str) -> None:
    rendered = render(a_context(), PUBLICATION, [a_route(1, slug=slug), a_route(2)])

    assert set(rendered.configuration["http"]["services"]) == {"api", "app-2"}
    assert list(rendered.refused) == [f"{slug}.example.test"]


def test_the_api_host_is_never_assigned_to_an_app() -> None:
    rendered = render(
        a_context(), PUBLICATION, [a_route(1, slug="api"), a_route(2, hosts=("api.example.test",))]
    )

    assert "app-1" not in rendered.configuration["http"]["services"]
    assert rendered.configuration["http"]["routers"]["app-2-web"]["rule"] == "Host(`app2.example.test`)"


def test_a_custom_domain_cannot_take_a_slug_of_a_newer_app() -> None:
    rendered = render(a_context(), PUBLICATION, [a_route(1, hosts=("app2.example.test",)), a_route(2)])

    routers = rendered.configuration["http"]["routers"]
    assert routers["app-1-web"]["rule"] == "Host(`app1.example.test`)"
    assert routers["app-2-web"]["rule"] == "Host(`app2.example.test`)"


def test_the_marker_host_cannot_be_taken() -> None:
    marker = f"generation-{SECRET}.internal"

    assert marker in render(a_context(), PUBLICATION, [a_route(1, hosts=(marker,))]).refused


def test_a_seat_outside_the_subnet_is_refused() -> None:
    assert "app1.example.test" in render(a_context(), PUBLICATION, [a_route(1, seat=10**9)]).refused


@pytest.mark.parametrize(
    "changes",
    [
        {"secret": "`"},
        {"secret": "0123456789abcdeg"},
        {"secret": ""},
        {"base_domain": "exa mple"},
        {"base_domain": "{{a}}"},
        {"certificate_resolver": "a`b"},
        {"certificate": ("/c/{{a}}.crt", "/c/a.key")},
        {"certificate": ("relative.crt", "/c/a.key")},
        {"https_port": 0},
    ],
)
def test_an_invalid_context_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(RouteRefused):
        render(an_https_context(**changes), PUBLICATION, [a_route(1)])


def test_the_order_of_rows_does_not_change_the_file() -> None:
    rows = [a_route(app, hosts=("b.org", "a.org") if app == 2 else ()) for app in range(1, 6)]

    assert (
        render_file(a_context(), PUBLICATION, rows).text
        == render_file(a_context(), PUBLICATION, rows[::-1]).text
    )


def test_without_services_the_section_is_absent() -> None:
    assert "services" not in http(a_context(own_upstreams=()))


@given(host=st.text(max_size=80), slug=st.text(max_size=40), port=st.integers(-1, 70_000))
def test_no_text_in_a_row_makes_the_file_invalid(host: str, slug: str, port: int) -> None:
    text = render_file(
        a_context(), PUBLICATION, [a_route(1, slug=slug, hosts=(host,), port=port), a_route(2)]
    ).text

    validate(text, ["web"])
    assert "{{" not in text
    assert text.count("`") % 2 == 0
    assert "app-2-web" in json.loads(text)["http"]["routers"]
