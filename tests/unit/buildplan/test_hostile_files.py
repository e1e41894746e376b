"""No file that planning reads takes more than linear time, and none breaks its reader.

The files are small here, but quadratic time would be minutes. `tests/bench/buildplan` has them as large as they may be,
and asserts the seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest

from stackyn_server.buildplan.file_sizes import bytes_allowed
from stackyn_server.buildplan.generated.additions import FILES as FILES_OF_ADDITIONS
from stackyn_server.buildplan.languages import MANIFESTS
from stackyn_server.buildplan.plan import make_plan
from stackyn_server.buildplan.project import PlanOptions
from stackyn_server.buildplan.runtimes import compose
from stackyn_server.buildplan.runtimes.table import RUNTIMES
from stackyn_server.buildplan.settings.repository import settings_files
from tests.patience import patient
from tests.unit.buildplan.hostile_files import (
    ABOVE,
    AROUND,
    FILES,
    SMALL_BYTES,
    hostile,
    seconds_to_plan,
    seconds_to_plan_below,
)
from tests.unit.buildplan.trees import EVERYTHING, encoded

LINEAR_SECONDS = 10


@pytest.mark.parametrize("path", FILES)
def test_no_file_takes_long_or_breaks_its_reader(path: str) -> None:
    size = min(SMALL_BYTES, bytes_allowed(path))
    for text in hostile(path, size):
        assert seconds_to_plan(path, text) < patient(LINEAR_SECONDS), f"{path}: {text[:40]!r} …"


@pytest.mark.parametrize("path", ABOVE)
def test_no_file_above_the_root_directory_takes_long(path: str) -> None:
    for seconds, piece in seconds_to_plan_below(path):
        assert seconds < patient(LINEAR_SECONDS), piece


LISTS: Mapping[str, Callable[[int], str]] = {
    "railpack.json": lambda many: json.dumps(
        {"packages": {f"pipx:a{number}": "1" for number in range(many)}}
    ),
    "mise.toml": lambda many: "[tools]\n" + "".join(f"'pipx:a{number}' = '1'\n" for number in range(many)),
    "nixpacks.toml": lambda many: "".join(f"[phases.a{n}]\naptPkgs = ['a{n}']\n" for n in range(many)),
    "Aptfile": lambda many: "".join(f"a{number}\n" for number in range(many)),
}


@pytest.mark.parametrize("path", LISTS)
def test_no_list_of_a_file_makes_an_endless_plan(path: str) -> None:
    tree = {**AROUND["node"], path: LISTS[path](20_000)}
    contents = {name: encoded(content) for name, content in tree.items()}
    plan = make_plan(tree, contents, PlanOptions(EVERYTHING, default_port=8080))
    assert len(json.dumps(plan.as_json())) < 100_000


def test_the_table_has_every_file_that_planning_asks_for() -> None:
    options = PlanOptions(EVERYTHING, default_port=8080)
    files = frozenset((*FILES, *MANIFESTS))
    asked = {path for runtime in RUNTIMES for path in runtime.needs(files, options)}
    asked.update(FILES_OF_ADDITIONS, settings_files(options), compose.NAMES)
    kinds = {path.rpartition("/")[2] for path in FILES}
    assert {path for path in asked if path.rpartition("/")[2] not in kinds} == set()
