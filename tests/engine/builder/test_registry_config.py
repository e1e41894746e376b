"""What a builder is told of registries."""

from __future__ import annotations

import base64
import json
import tomllib

import pytest

from stackyn_server.domain.registries import RegistryCredential
from stackyn_server.engine.builder.registry_config import docker_config, registry_tables


@pytest.mark.parametrize(
    ("mirrors", "plain", "expected"),
    [
        ({}, (), {}),
        ({"docker.io": ["mirror.example"]}, (), {"docker.io": {"mirrors": ["mirror.example"]}}),
        (
            {"docker.io": ["10.0.5.2:5000/hub", "backup.example"]},
            ("10.0.5.2:5000",),
            {"docker.io": {"mirrors": ["10.0.5.2:5000/hub", "backup.example"]}, "10.0.5.2:5000": {"http": True}},
        ),
        (
            {"registry.example:5000": ["mirror.example"]},
            ("registry.example:5000",),
            {"registry.example:5000": {"mirrors": ["mirror.example"], "http": True}},
        ),
    ],
)  # fmt: skip
def test_mirrors_and_plain_http_become_tables(
    mirrors: dict[str, list[str]], plain: tuple[str, ...], expected: dict[str, object]
) -> None:
    assert tomllib.loads(registry_tables(mirrors, plain)).get("registry", {}) == expected


def test_a_credential_is_for_its_host_alone() -> None:
    credentials = [
        RegistryCredential("docker.io", "me", "first"),
        RegistryCredential("docker.io", "me", "pass:wörd"),
        RegistryCredential("registry.example:5000", "robot$ci", "x"),
    ]

    entries = json.loads(docker_config(credentials))["auths"]

    assert {host: base64.b64decode(entry["auth"]).decode() for host, entry in entries.items()} == {
        "https://index.docker.io/v1/": "me:pass:wörd",
        "registry.example:5000": "robot$ci:x",
    }


def test_without_credentials_there_is_no_file() -> None:
    assert docker_config([]) == ""
