"""The published description and the code say the same."""

from __future__ import annotations

from pathlib import Path

from stackyn_server.api.endpoints import ENDPOINTS
from stackyn_server.api.openapi import as_yaml, document
from tests.contract.conftest import Platform

COMMITTED = Path(__file__).parents[2] / "contracts" / "openapi.yaml"


def test_the_committed_description_is_the_one_of_the_code() -> None:
    assert COMMITTED.read_text("utf-8") == as_yaml(document()), (
        "run: python -m stackyn_server.api.openapi > contracts/openapi.yaml"
    )


def test_every_route_is_described() -> None:
    described = {
        (method.upper(), path) for path, methods in document()["paths"].items() for method in methods
    }
    assert described == {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}


async def test_the_server_serves_it(platform: Platform) -> None:
    answer = await platform.nobody.get("/openapi.json")
    assert answer.json == document()
