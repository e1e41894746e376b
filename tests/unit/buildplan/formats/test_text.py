"""Text files of tenants: every encoding that the tools after us take, and nothing that a database would not."""

from __future__ import annotations

import codecs

import pytest

from stackyn_server.buildplan.formats.text import clean, decode
from stackyn_server.buildplan.settings.start_command import processes
from tests.unit.buildplan.trees import command, planned

FLASK = "from flask import Flask\napp = Flask(__name__)\n"


@pytest.mark.parametrize(
    "content",
    [
        "flåsk".encode(),
        "flåsk".encode("utf-8-sig"),
        "flåsk".encode("utf-16"),
        codecs.BOM_UTF16_BE + "flåsk".encode("utf-16-be"),
        "flåsk".encode("utf-32"),
        codecs.BOM_UTF32_BE + "flåsk".encode("utf-32-be"),
    ],
)
def test_text_is_read_by_its_byte_order_mark(content: bytes) -> None:
    assert decode(content) == "flåsk"


@pytest.mark.parametrize("content", [b"a\xff\xfeb", b"a\0b", b"\xff\xfea\0\0\xd8", b"\xff\xfea", b"\0" * 9])
def test_what_is_no_text_becomes_storable_text(content: bytes) -> None:
    text = decode(content)
    assert "\0" not in text and text.encode()


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\0b", "a\ufffdb"),
        ("a\ud800b", "a\ufffdb"),
        ("\udcff", "\ufffd"),
        ("😀é", "😀é"),
        ("\ud83d\ude00", "😀"),
    ],
)
def test_cleaned_text_has_neither_nul_nor_surrogates(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_requirements_in_utf_16_are_read_as_pip_reads_them() -> None:
    plan = planned({"requirements.txt": "flask\r\ngunicorn\r\n".encode("utf-16"), "app.py": FLASK})
    assert "gunicorn" in command(plan)


@pytest.mark.parametrize(
    ("procfile", "web"),
    [
        ("web: serve", "serve"),
        ("worker: work\nweb :  serve a:b  \r\n", "serve a:b"),
        ("web: first\nweb: second", "first"),
        ("# web: no\n  web: indented\nwebb: other", None),
        ("web:\nother", None),
        ("web", None),
    ],
)
def test_the_web_line_of_a_procfile_is_found(procfile: str, web: str | None) -> None:
    assert processes(procfile).get("web") == web
