"""The YAML of settings files: read as other readers do, refused beyond that, and never slowly."""

from __future__ import annotations

import contextlib

import pytest
import yaml

from stackyn_server.buildplan.formats.yaml_subset import YamlError, parse_yaml
from tests.patience import patient, processor_seconds


@pytest.mark.parametrize(
    "text",
    [
        "a: b\nc:\n  d: e # comment\n  f: 'it''s # none'\n",
        '# first\n---\na: "x: y\\n"\nb: c#d\n',
        "a:\n- b\n- c: d\n  e: f\n-\n  g: h\n- - i\n  - j\nk: l\n",
        "a:\n    - 3000:30\n    - '80:80'\n",
        "a: [b, 'c, d', {e: f, g: [h]}]\nb: {}\nc: []\n",
        "a: [b,\n  c,\n  d]\ne: f\n",
        "a: &x\n  b: c\nd: *x\ne:\n  <<: *x\n  f: g\n",
        "a: &x text\nb: [*x, y]\n",
        "a:\n  b:\n    c:\nd: e\n",
        'run: "npm start"\n"quoted key": v\nhttp://x: y\n',
        "a: one\n  two\n  three\nb: c\n",
        'services:\n\n  web:\n    image: x:1.2@sha256:abc\n    command: ["sh", "-c", "a && b"]\n',
        "a: b\n...\n",
        "- a\n- b: c\n",
        "text",
    ],
)
def test_it_is_read_as_by_others(text: str) -> None:
    assert parse_yaml(text) == yaml.load(text, Loader=yaml.BaseLoader)


@pytest.mark.parametrize(
    "text",
    [
        "a: [b\n",
        "a: {b: c\n",
        "a: 'b\n",
        "a: *nowhere\n",
        "\ta: b\n",
        "a: b\n  c: d\n",
        "a:\n  b: c\n e: d\n",
        "[" * 100,
        "- " * 100,
        "a: &x [y]\nb: [" + "*x, " * 300 + "z]\n",
        "a: b\n" * 40_000,
    ],
)
def test_what_is_not_read_is_refused(text: str) -> None:
    with pytest.raises(YamlError):
        parse_yaml(text)


def test_a_block_text_is_one_value() -> None:
    assert parse_yaml("run: |\n  a: b\n  # c\n  d\nnext: e\n") == {"run": "a: b\n# c\nd", "next": "e"}


HOSTILE = (
    *(
        "k: v\n",
        "- ",
        "? ",
        "[",
        "[a, ",
        "*a, ",
        "b\n  ",
        "\n",
        " ",
        '"\\n',
        "&a ",
        "!a ",
        ":",
        " \n",
        "#",
        "{a ",
    ),
    *("a", "'", "-", "a: [\n"),
)


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_yaml_is_read_in_linear_time(piece: str) -> None:
    """The limit ends a reader of quadratic time; `tests/bench/buildplan` asserts the seconds."""
    assert processor_seconds(lambda: read_hostile(piece)) < patient(20)


def read_hostile(piece: str) -> None:
    with contextlib.suppress(YamlError):
        parse_yaml(("a: " + piece * 130_000)[:130_000])
