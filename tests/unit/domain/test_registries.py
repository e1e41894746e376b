"""Hosts, users and passwords of image registries: what is accepted and what is refused."""

from __future__ import annotations

import pytest

from stackyn_server.domain.registries import RegistryCredential, valid_host, valid_password, valid_user
from stackyn_server.errors import InvalidRequest


@pytest.mark.parametrize(
    ("sent", "host"),
    [
        ("ghcr.io", "ghcr.io"),
        (" GHCR.io ", "ghcr.io"),
        ("registry.example.com:5000", "registry.example.com:5000"),
        ("localhost", "localhost"),
        ("registry:5000", "registry:5000"),
        ("10.0.0.7:5000", "10.0.0.7:5000"),
        ("123456789.dkr.ecr.eu-central-1.amazonaws.com", "123456789.dkr.ecr.eu-central-1.amazonaws.com"),
        *(
            (name, "docker.io")
            for name in (
                "docker.io",
                "index.docker.io",
                "registry-1.docker.io",
                "registry-1.docker.io:443",
                "registry.hub.docker.com",
                "Docker.IO",
            )
        ),
        ("docker.io.example.com", "docker.io.example.com"),
    ],
)
def test_a_host_is_as_in_the_name_of_an_image(sent: str, host: str) -> None:
    assert valid_host(sent) == host


@pytest.mark.parametrize(
    "host",
    [
        "", "https://ghcr.io", "ghcr.io/owner", "ghcr.io/", "user@ghcr.io", "ghcr..io", "-a.io", "a-.io", ".io",
        "ghcr.io.", "ghcr.io:", "ghcr.io:0", "ghcr.io:65536", "ghcr.io:080", "ghcr.io:x", "gh cr.io", "ghcr.io\n.a",
        "ü.example", "registry", "a_b.io", "[::1]:5000", "a." * 127 + "io", "x" * 64 + ".io",
        "ghcr.io?a", "ghcr.io#a", "ghcr.io\\a", "*.io",
    ],
)  # fmt: skip
def test_a_host_that_no_image_can_name_is_refused(host: str) -> None:
    with pytest.raises(InvalidRequest):
        valid_host(host)


@pytest.mark.parametrize("user", ["ada", "_json_key", "robot$ci", "AWS", "a@example.com", "x" * 255])
def test_a_user_that_can_sign_in_is_accepted(user: str) -> None:
    assert valid_user(f" {user} ") == user


@pytest.mark.parametrize("user", ["", " ", "a:b", "a\nb", "x" * 256])
def test_a_user_that_cannot_sign_in_is_refused(user: str) -> None:
    with pytest.raises(InvalidRequest):
        valid_user(user)


def test_a_password_is_kept_as_it_is() -> None:
    key_file = '{"type": "service_account",\n "private_key": "..."}\n'
    assert valid_password(key_file) == key_file


@pytest.mark.parametrize("password", ["", "x" * 16_385, "ü" * 8_193])
def test_a_password_without_or_beyond_measure_is_refused(password: str) -> None:
    with pytest.raises(InvalidRequest):
        valid_password(password)


def test_a_credential_does_not_print_its_password() -> None:
    credential = RegistryCredential("ghcr.io", "ada", "marmalade")
    assert "marmalade" not in f"{credential!r} {credential}"
