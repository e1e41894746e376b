from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from stackyn_server.ingress.readback import RouteFileInvalid, validate
from stackyn_server.ingress.render import render
from stackyn_server.ingress.render_context import PublicationId
from tests.unit.ingress.builders import a_route, an_https_context

POINTS = ["web", "websecure"]


def text_after(damage: Callable[[dict[str, Any]], object]) -> str:
    configuration = render(an_https_context(), PublicationId(1, 1), [a_route(1)]).configuration
    damage(configuration["http"])
    return json.dumps(configuration)


def test_an_undamaged_file_is_accepted() -> None:
    validate(text_after(lambda http: None), POINTS)


@pytest.mark.parametrize(
    "damage",
    [
        lambda http: http.pop("routers"),
        lambda http: http.pop("middlewares"),
        lambda http: http["services"].pop("app-1"),
        lambda http: http["middlewares"].pop("confirm-app-1"),
        lambda http: http["middlewares"].pop("stackyn-to-https"),
        lambda http: http["serversTransports"].clear(),
        lambda http: http["routers"]["app-1-web"].update(entryPoints=[]),
        lambda http: http["routers"]["app-1-web"].update(entryPoints=["elsewhere"]),
        lambda http: http["routers"]["app-1-web"].update(rule="PathPrefix(`/`)"),
        lambda http: http["routers"]["app-1-web"].update(rule="Host(`a`) || PathPrefix(`/`)"),
        lambda http: http["routers"]["app-1-web"].update(rule="Host(`a`)\n"),
        lambda http: http["routers"].update({"a b": http["routers"]["app-1-web"]}),
        lambda http: http["services"]["app-1"]["loadBalancer"].update(servers=[]),
        lambda http: http["services"]["app-1"]["loadBalancer"]["servers"][0].update(url="https://x:1"),
        lambda http: http["routers"].update({"x": None}),
    ],
)
def test_a_file_that_the_proxy_would_not_serve_whole_is_refused(damage: Callable[[Any], object]) -> None:
    with pytest.raises(RouteFileInvalid):
        validate(text_after(damage), POINTS)


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"http": 1}', '{"http": {"routers": {}'])
def test_what_is_not_a_configuration_is_refused(text: str) -> None:
    with pytest.raises(RouteFileInvalid):
        validate(text, POINTS)


def test_template_text_is_refused_wherever_it_is() -> None:
    text = text_after(lambda http: http["middlewares"].update(x={"y": "{{ now }}"}))

    with pytest.raises(RouteFileInvalid, match="template"):
        validate(text, POINTS)
