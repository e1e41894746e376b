"""JSON5, and JSON with comments, rewritten as JSON. Pure.

Source: the specification of JSON5. Beyond JSON it has comments, trailing commas, names without quotes, single quotes,
lines that go on, and more ways to write a number.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n\r]*|/\*.*?\*/)
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<number>[+-]?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|Infinity|NaN))
    |(?P<word>[^\W\d][\w$]*|\$[\w$]*)
    |(?P<mark>[{}\[\]:,])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r'\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|\r\n|.)|"', re.DOTALL)
_OF_JSON = frozenset('"\\/bfnrtu')
_ESCAPED = {"0": r"\u0000", "v": r"\u000b", "\n": "", "\r": "", "\r\n": "", "\u2028": "", "\u2029": ""}
_VALUES = frozenset(("true", "false", "null"))


def as_json(text: str) -> str:
    """Return the same document as JSON; raises `ValueError` for what is no token."""
    tokens: list[str] = []
    position = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise ValueError(f"unexpected {text[position]!r} in line {text.count(chr(10), 0, position) + 1}")
        position = token.end()
        match token.lastgroup:
            case "text":
                tokens.append(_text(token[0]))
            case "number":
                tokens.append(_number(token[0]))
            case "word":
                tokens.append(token[0] if token[0] in _VALUES else f'"{token[0]}"')
            case "mark":
                if token[0] in "]}" and tokens[-1:] == [","]:
                    tokens.pop()
                tokens.append(token[0])
    return " ".join(tokens)


def _text(token: str) -> str:
    return f'"{_ESCAPE.sub(_escape, token[1:-1])}"'


def _escape(match: re.Match[str]) -> str:
    sequence = match[1]
    if sequence is None:
        return r"\""
    if sequence[0] == "x" and len(sequence) > 1:
        return rf"\u00{sequence[1:]}"
    return _ESCAPED.get(sequence, match[0] if sequence[0] in _OF_JSON else sequence)


def _number(token: str) -> str:
    sign, digits = ("-" if token[0] == "-" else ""), token.lstrip("+-")
    if digits[:2].lower() == "0x":
        return f"{sign}{int(digits, 16)}"
    if digits.startswith("."):
        digits = f"0{digits}"
    return sign + re.sub(r"\.(?=$|[eE])", ".0", digits)
