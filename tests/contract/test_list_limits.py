"""Every list of the API has an end: the statement behind it says so, however many rows there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from stackyn_server.domain.usage import SECONDS_OF, STEP_SECONDS_OF, Range
from stackyn_server.store import (
    accounts,
    apps,
    audit,
    deployments,
    events,
    logs,
    registries,
    releases,
    tokens,
    variables,
)

# Path → the statement that reads its list.
LISTS = {
    "/api/apps": apps.SQL.view,
    "/admin/apps": apps.SQL.view,
    "/admin/users": accounts.SQL.page,
    "/admin/audit": audit.SQL.page,
    "/api/v1/apps/{app}/deployments": deployments.SQL.list_of_app,
    "/api/v1/apps/{app}/releases": releases.SQL.numbered_of_app,
    "/api/v1/apps/{app}/env": variables.SQL.list_of_app,
    "/api/v1/apps/{app}/events": events.SQL.list_of_app,
    "/api/v1/apps/{app}/logs/build": logs.SQL.list_of_app,
    "/api/v1/tokens": tokens.SQL.of_account,
    "/api/v1/registries": registries.SQL.of_account,
}
# Lists that no table is behind, and what bounds them.
OTHERS = {
    "/api/v1/apps/{app}/logs/runtime": "the engine is asked for the last lines",
    "/api/v1/apps/{app}/metrics": "a point for each step",
    "/api/v1/apps/{app}/verify": "an error for each of a few checks",
    "/health/ready": "the periodic chores",
}


def has_list(schema: dict[str, Any], schemas: dict[str, Any]) -> bool:
    if name := schema.get("$ref"):
        schema = schemas[name.rpartition("/")[2]]
    members = schema.get("properties", {}).values()
    return schema.get("type") == "array" or any(member.get("type") == "array" for member in members)


def test_each_list_of_the_api_is_known_here() -> None:
    document = yaml.safe_load(Path("contracts/openapi.yaml").read_text())
    schemas = document["components"]["schemas"]
    listed = {
        path
        for path, methods in document["paths"].items()
        for answer in methods.get("get", {}).get("responses", {}).values()
        for media in answer.get("content", {}).values()
        if has_list(media.get("schema", {}), schemas)
    }
    assert listed == LISTS.keys() | OTHERS.keys()


@pytest.mark.parametrize("path", LISTS)
def test_each_list_has_a_limit(path: str) -> None:
    assert re.search(r"\bLIMIT (\$\d|\d+|least\(\$\d, \d+\))", LISTS[path])


@pytest.mark.parametrize("over", Range)
def test_a_series_has_at_most_181_points(over: Range) -> None:
    assert SECONDS_OF[over] / STEP_SECONDS_OF[over] + 1 <= 181
