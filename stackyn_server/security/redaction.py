"""Removes secrets from log records and from text for people."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

MASK = "***"

_SECRET_NAMES = re.compile(
    r"(password|passwd|secret|token|authorization|cookie|api_?key|otp|private_?key|sealed|environment)",
    re.IGNORECASE,
)
# Linear in the text, whatever a tenant's program prints: no attempt begins inside of what another one has read.
_OF_TOKENS = "[A-Za-z0-9_-]"
_PATTERNS = (
    # user information of a URL
    (re.compile(r"(?P<keep>[a-z0-9+.-]://)[^\s/@'\"<>]++@", re.IGNORECASE), rf"\g<keep>{MASK}@"),
    (re.compile(r"(?P<keep>\bbearer\s++)[A-Za-z0-9._~+/=-]++", re.IGNORECASE), rf"\g<keep>{MASK}"),
    # a JWT: three base64url parts, of which the first begins with `{"`
    (
        re.compile(
            rf"(?<!{_OF_TOKENS})(?={_OF_TOKENS}++\.{_OF_TOKENS}++\.)(?P<keep>(?:[A-Za-z0-9_]*+-)*?)"
            rf"eyJ{_OF_TOKENS}++\.{_OF_TOKENS}++\.{_OF_TOKENS}*+"
        ),
        rf"\g<keep>{MASK}",
    ),
)


def redact(text: str) -> str:
    """Return `text` without the credentials in URLs, bearer tokens and JWTs."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def redact_event(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: masks fields with names of secrets, and redacts all text."""
    for name, value in event.items():
        event[name] = _redacted(name, value)
    return event


def _redacted(name: str, value: Any) -> Any:
    if _SECRET_NAMES.search(name) and isinstance(value, str | bytes):
        return MASK
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: _redacted(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(name, inner) for inner in value]
    return value
