"""Decode tenants' text files by their byte order mark, as the tools that read them next do.

Source: pip's `auto_decode`; Windows PowerShell 5 writes UTF-16 with a mark for `pip freeze > requirements.txt`.
"""

from __future__ import annotations

import codecs

# UTF-32's little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def encoding_of(content: bytes) -> str:
    """Return the encoding that the byte order mark names, "utf-8" without one."""
    return _mark_and_encoding(content)[1]


def decode(content: bytes) -> str:
    """Return the text without its byte order mark; bytes that are no text, and NUL characters, become U+FFFD."""
    mark, encoding = _mark_and_encoding(content)
    return content[len(mark) :].decode(encoding, "replace").replace("\0", _REPLACEMENT)


def clean(text: str) -> str:
    """Return text that every encoder and every database takes: no NUL characters, no lone surrogates."""
    text = text.replace("\0", _REPLACEMENT)
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _mark_and_encoding(content: bytes) -> tuple[bytes, str]:
    return next((row for row in _MARKS if content.startswith(row[0])), (b"", "utf-8"))
