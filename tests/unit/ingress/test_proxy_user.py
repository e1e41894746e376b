"""The user that the proxy runs as, and what it may read and write."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath

import pytest

from stackyn_server.config import IngressSettings
from stackyn_server.ingress.configuration_directory import ConfigurationDirectory
from stackyn_server.ingress.proxy_user import proxy_uid


def test_the_number_is_the_installations_own_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    numbers = [proxy_uid(IngressSettings(), secret) for secret in ("one", "another", "one")]

    assert numbers[0] == numbers[2] != numbers[1]
    assert all(number is not None and 1_879_048_191 < number < 2**31 for number in numbers)


def test_an_operators_image_and_a_lesser_server_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert proxy_uid(IngressSettings(image="traefik:3"), "one") is None
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert proxy_uid(IngressSettings(), "one") is None


def test_nobody_but_the_proxy_and_root_reads_its_folder(tmp_path: Path) -> None:
    uid = 1_900_000_001 if os.geteuid() == 0 else os.getuid()
    ConfigurationDirectory(tmp_path, PurePosixPath("/etc/stackyn")).make()  # of an earlier release
    (tmp_path / "acme" / "acme.json").write_text("{}")
    (tmp_path / "acme" / "acme.json").chmod(0o600)
    (tmp_path / "routes" / "routes.yml").write_text("{}")
    (tmp_path / "certificates" / "a.key").write_text("secret")

    ConfigurationDirectory(tmp_path, PurePosixPath("/etc/stackyn"), uid).make()

    for name, mode, owner in (
        (".", 0o750, os.geteuid()),
        ("routes", 0o750, os.geteuid()),
        ("routes/routes.yml", 0o640, os.geteuid()),
        ("certificates", 0o750, os.geteuid()),
        ("certificates/a.key", 0o640, os.geteuid()),
        ("acme", 0o700, uid),
        ("acme/acme.json", 0o600, uid),
    ):
        status = (tmp_path / name).stat()
        assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (mode, owner, uid), name
