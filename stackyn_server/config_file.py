"""Reads `config.toml` and the environment, which wins: `STACKYN_<TABLE>__<KEY>`."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stackyn_server.config import ConfigInvalid, Settings

PREFIX = "STACKYN_"


def load(path: Path | None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read settings from a TOML file (defaults when `path` is None) and the environment.

    Raises `ConfigInvalid` with file, line, key and reason; an unknown key or variable is an error too.
    """
    text, values = "", {}
    if path is not None:
        try:
            text = path.read_text("utf-8")
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigInvalid(f"{path}: {error}") from error
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigInvalid(f"{path}: can't be read: {error}") from error
    _apply_environment(values, os.environ if environment is None else environment)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        keys = [str(part) for part in problem["loc"]]
        line = _line_of(text, keys)
        place = f"{path or 'settings'}" + (f", line {line}" if line else "")
        name = ".".join(keys)
        reason = str(problem["msg"]).removeprefix("Value error, ")
        raise ConfigInvalid(f"{place}: {name + ': ' if name else ''}{reason}") from error


def _apply_environment(values: dict[str, Any], environment: Mapping[str, str]) -> None:
    for variable, value in environment.items():
        if not variable.startswith(PREFIX) or "__" not in variable:
            continue
        *tables, key = variable.removeprefix(PREFIX).lower().split("__")
        table = values
        for name in tables:
            table = table.setdefault(name, {})
        try:
            table[key] = tomllib.loads(f"v = {value}")["v"]
        except tomllib.TOMLDecodeError:
            table[key] = value


def _line_of(text: str, keys: list[str]) -> int | None:
    """Find the line that sets `keys`, or else the line of the table that should."""
    table, line_number = "", None
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[([^\[\]]+)\]", line):
            table = header.group(1).strip()
            if table == ".".join(keys[: table.count(".") + 1]):
                line_number = number
        elif assignment := re.match(r"\s*([A-Za-z0-9_-]+)\s*=", line):
            path = [*table.split("."), assignment.group(1)] if table else [assignment.group(1)]
            if path == keys[: len(path)]:
                return number
    return line_number
