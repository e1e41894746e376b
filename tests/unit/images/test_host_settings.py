"""What base images take over from the machine: how it reaches package registries, and no credential."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from stackyn_server.images import host_settings


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_certificates_and_settings_are_taken_over(tmp_path: Path) -> None:
    write(tmp_path, "etc/ssl/certs/ca-certificates.crt", "bundle")
    write(tmp_path, "usr/local/share/ca-certificates/own.crt", "own")
    write(tmp_path, "etc/pip.conf", "[global]\nindex-url = https://mirror.example/simple\n")
    write(tmp_path, "etc/npmrc", "registry=https://mirror.example/npm\n")

    settings = host_settings.read_host_settings(tmp_path)

    assert {str(path) for path in settings.files} == {
        "etc/ssl/certs/ca-certificates.crt",
        "usr/local/share/ca-certificates/own.crt",
        "etc/pip.conf",
        "usr/local/etc/npmrc",
    }
    assert settings.files[PurePosixPath("usr/local/etc/npmrc")] == b"registry=https://mirror.example/npm\n"
    assert settings.left_out == ()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("etc/pip.conf", "[global]\nindex-url = https://user:secret@mirror.example/simple\n"),
        ("etc/npmrc", "//mirror.example/:_authToken=secret\n"),
        ("usr/etc/npmrc", "_password=c2VjcmV0\n"),
        ("usr/local/etc/npmrc", "//mirror.example/:username=me\n"),
    ],
)
def test_file_with_a_credential_is_left_out_and_said(tmp_path: Path, path: str, text: str) -> None:
    write(tmp_path, path, text)

    settings = host_settings.read_host_settings(tmp_path)

    assert settings.files == {}
    assert settings.left_out == (tmp_path / path,)


def test_digest_tells_other_settings_apart(tmp_path: Path) -> None:
    nothing = host_settings.read_host_settings(tmp_path).digest
    write(tmp_path, "etc/pip.conf", "[global]\ntimeout = 60\n")
    some = host_settings.read_host_settings(tmp_path).digest
    write(tmp_path, "etc/pip.conf", "[global]\ntimeout = 90\n")

    assert len({nothing, some, host_settings.read_host_settings(tmp_path).digest}) == 3
