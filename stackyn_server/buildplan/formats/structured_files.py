"""TOML, JSON and YAML files of a repository, as mappings; what can't be read is refused with the file and the line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from stackyn_server.buildplan.formats.json5 import as_json
from stackyn_server.buildplan.formats.toml import parse_toml
from stackyn_server.buildplan.formats.yaml_subset import parse_yaml
from stackyn_server.buildplan.project import Project, undetected

Table = Mapping[str, Any]
_NOTHING: Table = {}
# Read in Python, token by token: settings are smaller than this.
_LONGEST_COMMENTED = 128 * 1024


def toml(project: Project, path: str) -> Table:
    """Read a TOML file; empty when there is none. Raises `DeploymentFailed` when it is not valid."""
    return _document(project, path, "TOML", lambda text: parse_toml(text.replace("\r\n", "\n")))


def json_with_comments(project: Project, path: str) -> Table:
    """Read a JSON object that may be JSON5, with comments and trailing commas; empty when there is no such file.

    Raises `DeploymentFailed` when it is not valid.
    """
    return _document(project, path, "JSON", _relaxed_json)


def yaml(project: Project, path: str) -> Table:
    """Read a YAML mapping, every scalar as text; empty when there is no such file.

    Raises `DeploymentFailed` when it is not valid, or larger, deeper or more entangled than such files are. Merge keys
    (`<<`) are left to `with_merge_keys`.
    """
    return _document(project, path, "YAML", parse_yaml)


def table(document: Table, *keys: str) -> Table:
    """Return the table under a path of keys; empty where there is none."""
    for key in keys:
        value = document.get(key)
        if not isinstance(value, Mapping):
            return _NOTHING
        document = value
    return document


def text_at(document: Table, *keys: str) -> str | None:
    """Return the text under a path of keys; None where there is none, or something else."""
    value = table(document, *keys[:-1]).get(keys[-1])
    return value.strip() if isinstance(value, str) and value.strip() else None


def texts_at(document: Table, *keys: str) -> tuple[str, ...]:
    """Return the texts in the list under a path of keys."""
    return texts(table(document, *keys[:-1]).get(keys[-1]))


def texts(value: Any) -> tuple[str, ...]:
    """Return the texts in a list; none of anything else."""
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def tables(value: Any) -> tuple[Table, ...]:
    """Return the tables in a list; none of anything else."""
    return tuple(item for item in value if isinstance(item, Mapping)) if isinstance(value, list) else ()


def unreadable(path: str, form: str, error: Exception) -> Exception:
    reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    return undetected(f"{path} is not valid {form}.", "Correct it, then push again.", f"{path}: {reason}")


def _document(project: Project, path: str, form: str, parse: Callable[[str], Any]) -> Table:
    text = project.text(path)
    if text is None:
        return _NOTHING
    try:
        document = parse(text)
    except (ValueError, RecursionError) as error:
        raise unreadable(path, form, error) from error
    return document if isinstance(document, dict) else _NOTHING


def _relaxed_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        if len(text) > _LONGEST_COMMENTED:
            raise
    return json.loads(as_json(text))


def with_merge_keys(entry: Any) -> Table:
    """Return a mapping with those that its merge key (`<<`) names below it, one level deep."""
    if not isinstance(entry, Mapping):
        return _NOTHING
    parents = entry.get("<<")
    result: dict[str, Any] = {}
    for parent in reversed(parents if isinstance(parents, list) else [parents]):
        if isinstance(parent, Mapping):
            result.update(parent)
    result.update(entry)
    result.pop("<<", None)
    return result
