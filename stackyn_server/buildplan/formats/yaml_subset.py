"""The part of YAML that people write settings in, read line by line: mappings, lists, texts, flow style on one or
several lines, block texts, anchors and aliases. Every scalar is a text: the port mapping 3000:30 stays what it is.

The process that reads tenants' files has only the standard library, which has no YAML reader. YAML beyond this subset
raises `YamlError` with the line. Reading takes linear time, and all aliases of an anchor share one value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

_DEEPEST, _MOST_ALIASES, _LONGEST = 40, 200, 128 * 1024
_KEY = re.compile(
    r"""("(?:[^"\\]|\\.)*"[ ]*|'[^']*'[ ]*|[^\s"'\[{#&*!|>%@`-][^#]*?|-[^\s#][^#]*?|\*[^\s:]+[ ]*):(?=[ ]|$)"""
)
_ANCHOR = re.compile(r"&([^\s,\[\]{}]+)(?:[ ]+|$)")
_TAG = re.compile(r"![^\s,\[\]{}]*(?:[ ]+|$)")
_BLOCK_TEXT = re.compile(r"[|>][+\-0-9]{0,2}$")
_QUOTED = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^']|'')*'""")
# A text after a double quote that is never closed is scanned once, not again from each quote in it.
_SINGLE = re.compile(r"'[^']*'")
_QUOTED_OR_OPEN = re.compile(rf""""(?:[^"\\]|\\.)*+("?)|{_SINGLE.pattern}""")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "e": "\x1b"}


class YamlError(ValueError):
    pass


@dataclass(slots=True)
class _Line:
    indent: int
    text: str
    number: int


@dataclass(slots=True)
class _Reader:
    lines: list[_Line]
    raw: list[str]
    position: int = 0
    anchors: dict[str, Any] = field(default_factory=dict)
    aliases: int = 0

    @property
    def line(self) -> _Line | None:
        return self.lines[self.position] if self.position < len(self.lines) else None

    def block(self, indent: int, depth: int) -> Any:
        """Read the mapping, list or text whose lines begin at `indent`."""
        line = self.line
        if line is None or line.indent < indent:
            return ""
        if depth > _DEEPEST:
            raise YamlError(f"line {line.number}: it is nested too deeply")
        if line.text == "-" or line.text.startswith("- "):
            return self._list(line.indent, depth)
        if _KEY.match(line.text):
            return self._mapping(line.indent, depth)
        self.position += 1
        return self._value(line, line.text, line.indent - 1, depth)

    def _list(self, indent: int, depth: int) -> list[Any]:
        items = []
        while (
            (line := self.line) and line.indent == indent and (line.text == "-" or line.text.startswith("- "))
        ):
            rest = line.text[1:].lstrip(" ")
            inner = indent + len(line.text) - len(rest)
            if not rest:
                self.position += 1
                following = self.line
                is_inner = following is not None and following.indent > indent
                items.append(self.block(indent + 1, depth + 1) if is_inner else "")
            elif _KEY.match(rest) or rest == "-" or rest.startswith("- "):
                self.lines[self.position] = _Line(inner, rest, line.number)
                items.append(self.block(inner, depth + 1))
            else:
                self.position += 1
                items.append(self._value(line, rest, indent, depth))
        # A list may stand as far to the left as the key that it belongs to.
        self._end_of_block(indent + 1)
        return items

    def _mapping(self, indent: int, depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while (line := self.line) and line.indent == indent and (key := _KEY.match(line.text)):
            self.position += 1
            mapping[_scalar(key[1].rstrip(" "))] = self._value(
                line, line.text[key.end() :].strip(" "), indent, depth
            )
        self._end_of_block(indent)
        return mapping

    def _end_of_block(self, indent: int) -> None:
        if (line := self.line) and line.indent >= indent:
            raise YamlError(f"line {line.number}: {line.text[:40]!r} does not fit in here")

    def _value(self, line: _Line, text: str, indent: int, depth: int) -> Any:
        """Read what stands behind a key or a dash, on that line or below it."""
        name = ""
        if anchor := _ANCHOR.match(text):
            name, text = anchor[1], text[anchor.end() :]
        if tag := _TAG.match(text):
            text = text[tag.end() :]
        value = self._content(line, text, indent, depth)
        if name:
            self.anchors[name] = value
        return value

    def _content(self, line: _Line, text: str, indent: int, depth: int) -> Any:
        following = self.line
        if not text:
            is_list = following is not None and (following.text == "-" or following.text.startswith("- "))
            least = indent if is_list else indent + 1
            return self.block(least, depth + 1) if following and following.indent >= least else ""
        if text.startswith("*"):
            return self._alias(line, text[1:])
        if _BLOCK_TEXT.match(text):
            return self._block_text(line, indent)
        if text[0] in "[{":
            return self._flow(line, text, depth)
        if text[0] in "\"'":
            if not _QUOTED.fullmatch(text):
                raise YamlError(f"line {line.number}: a text in quotes has to end on its line")
            return _scalar(text)
        parts = [text]
        while (following := self.line) and following.indent > indent and not _KEY.match(following.text):
            parts.append(following.text)
            self.position += 1
        return " ".join(parts)

    def _alias(self, line: _Line, name: str) -> Any:
        self.aliases += 1
        if self.aliases > _MOST_ALIASES or name not in self.anchors:
            raise YamlError(f"line {line.number}: the alias {name[:40]} is unknown, or there are too many")
        return self.anchors[name]

    def _block_text(self, line: _Line, indent: int) -> str:
        last = line.number
        while (following := self.line) and following.indent > indent:
            last = following.number
            self.position += 1
        return "\n".join(text.strip() for text in self.raw[line.number : last])

    def _flow(self, line: _Line, text: str, depth: int) -> Any:
        parts, opened = [text], _balance(text)
        while opened > 0 and (following := self.line):
            parts.append(following.text)
            opened += _balance(following.text)
            self.position += 1
        flow = _Flow(" ".join(parts), line, self)
        value = flow.value(depth)
        if flow.text[flow.at :].strip():
            raise YamlError(f"line {line.number}: something is left over behind a bracket")
        return value


@dataclass(slots=True)
class _Flow:
    text: str
    line: _Line
    reader: _Reader
    at: int = 0

    def value(self, depth: int) -> Any:
        if depth > _DEEPEST:
            raise YamlError(f"line {self.line.number}: it is nested too deeply")
        match self._next():
            case "[":
                return self._list(depth)
            case "{":
                return self._mapping(depth)
            case "*":
                self.at += 1
                return self.reader._alias(self.line, self._word(",]}"))
            case _:
                return self._word(",]}")

    def _list(self, depth: int) -> list[Any]:
        self.at += 1
        items = []
        while self._next() != "]":
            items.append(self.value(depth + 1))
            self._comma("]")
        self.at += 1
        return items

    def _mapping(self, depth: int) -> dict[str, Any]:
        self.at += 1
        mapping: dict[str, Any] = {}
        while self._next() != "}":
            key = self._word(":,}")
            mapping[key] = ""
            if self._next() == ":":
                self.at += 1
                mapping[key] = self.value(depth + 1) if self._next() not in ",}" else ""
            self._comma("}")
        self.at += 1
        return mapping

    def _comma(self, closing: str) -> None:
        character = self._next()
        if character == ",":
            self.at += 1
        elif character != closing:
            raise self._error()

    def _next(self) -> str:
        while self.at < len(self.text) and self.text[self.at] == " ":
            self.at += 1
        if self.at >= len(self.text):
            raise self._error()
        return self.text[self.at]

    def _word(self, ends: str) -> str:
        """Read a text: in quotes, or up to one of `ends`; a colon ends one only before a space."""
        start, quote = self.at, self.text[self.at]
        if quote in "\"'":
            self.at += 1
            while self.at < len(self.text) and self.text[self.at] != quote:
                self.at += 2 if self.text[self.at] == "\\" and quote == '"' else 1
            if self.at >= len(self.text):
                raise self._error()
            self.at += 1
        else:
            while self.at < len(self.text) and not self._ends_here(ends):
                self.at += 1
            if self.at == start:
                raise self._error()
        return _scalar(self.text[start : self.at].strip())

    def _ends_here(self, ends: str) -> bool:
        character = self.text[self.at]
        return character in ends and (character != ":" or self.text[self.at + 1 : self.at + 2] in ("", " "))

    def _error(self) -> YamlError:
        return YamlError(f"line {self.line.number}: brackets do not match, or a comma is missing")


def parse_yaml(text: str) -> Any:
    """Return the first document. Raises `YamlError`."""
    if len(text) > _LONGEST:
        raise YamlError(f"it is larger than {_LONGEST // 1024} KiB")
    raw = text.splitlines()
    lines: list[_Line] = []
    for number, line in enumerate(raw, 1):
        if line.startswith(("--- ", "...")) or line.strip() == "---":
            if lines:
                break
            continue
        content = line.lstrip(" ")
        plain = _without_comment(content)
        if plain.startswith("\t"):
            raise YamlError(f"line {number}: tabs can't indent")
        if plain and not plain.startswith("%"):
            lines.append(_Line(len(line) - len(content), plain, number))
    reader = _Reader(lines, raw)
    document = reader.block(0, 0)
    if reader.line is not None:
        raise YamlError(f"line {reader.line.number}: {reader.line.text[:40]!r} does not fit in here")
    return document


def _without_comment(text: str) -> str:
    if "#" not in text:
        return text.rstrip()
    position = 0
    while position < len(text):
        character, before = text[position], text[position - 1 : position]
        if character in "\"'" and before in ("", " ", "[", "{", ",", ":"):
            quoted = _QUOTED.match(text, position)
            position = quoted.end() if quoted else len(text)
            continue
        if character == "#" and before in ("", " ", "\t"):
            return text[:position].rstrip()
        position += 1
    return text.rstrip()


def _balance(text: str) -> int:
    quoteless = _QUOTED_OR_OPEN.sub(_without_quoted, text)
    return sum(character in "[{" for character in quoteless) - sum(
        character in "]}" for character in quoteless
    )


def _without_quoted(match: re.Match[str]) -> str:
    return _SINGLE.sub("", match[0]) if match[1] == "" else ""


def _scalar(text: str) -> str:
    if text[:1] == '"' == text[-1:] and len(text) > 1:
        return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), text[1:-1])
    if text[:1] == "'" == text[-1:] and len(text) > 1:
        return text[1:-1].replace("''", "'")
    return text
