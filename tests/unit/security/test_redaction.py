from __future__ import annotations

from typing import Any

import pytest

from stackyn_server.security.redaction import redact, redact_event
from tests.patience import patient, processor_seconds


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("fatal: unable to access 'https://user:hunter2@git.example.test/a.git'", "hunter2"),
        ("https://ghp_abcdef@github.com/a", "ghp_abcdef"),
        ("postgresql://stackyn:p%40ss@127.0.0.1/db", "p%40ss"),
        ("Authorization: Bearer abc.def-ghi", "abc.def-ghi"),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl end", "eyJzdWIiOiIxIn0"),
    ],
)
def test_credentials_leave_a_text(text: str, secret: str) -> None:
    assert secret not in redact(text)
    assert "***" in redact(text)


@pytest.mark.parametrize("text", ["see https://example.test/a@b", "mail me@example.test", "a plain line", ""])
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


def test_fields_named_like_secrets_are_masked_at_any_depth() -> None:
    event: dict[str, Any] = {
        "event": "request.failed",
        "password": "hunter2",
        "headers": {"Authorization": "Bearer x", "Accept": "text/html"},
        "arguments": [{"otp": "123456"}, "https://a:b@c.test/"],
        "seconds": 1.5,
    }
    assert redact_event(None, "info", event) == {
        "event": "request.failed",
        "password": "***",
        "headers": {"Authorization": "***", "Accept": "text/html"},
        "arguments": [{"otp": "***"}, "https://***@c.test/"],
        "seconds": 1.5,
    }


@pytest.mark.parametrize("piece", ["a.", "eyJ-", "eyJa.", "a-eyJ.b.", "a-", "a://", "bearer ", "a@", "://b:"])
def test_no_line_of_a_tenant_costs_more_than_its_length(piece: str) -> None:
    """One line of 64 KiB blocked the whole server for 11 s."""
    line = piece * (65_536 // len(piece))
    assert processor_seconds(lambda: redact(line)) < patient(0.5)


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("x-eyJhbGci.eyJzdWIi.sig rest", "x-*** rest"),
        ("a.b.eyJhdr.pay.sig", "a.b.***"),
        ("token=eyJhdr.pay.", "token=***"),
        ("git+ssh://u@host/", "git+ssh://***@host/"),
        ("eyJa.b", "eyJa.b"),
        ("no://way", "no://way"),
    ],
)
def test_a_secret_is_found_wherever_it_begins(text: str, redacted: str) -> None:
    assert redact(text) == redacted
