"""JSON5 rewritten as JSON, and the manifests of pnpm that are written in it or in YAML."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from stackyn_server.buildplan.formats.json5 import as_json
from tests.unit.buildplan.trees import Tree, command, planned, refused


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", {}),
        ('{"a": [1, -2.5e3, true, null, "x\\n\\u00e9"]} ', {"a": [1, -2500.0, True, None, "x\né"]}),
        ("// first\n{a: 1, /* b: 2, */ $c_1: 2,}\n", {"a": 1, "$c_1": 2}),
        ("[1, [2,],]", [1, [2]]),
        ("{'it': 'it\\'s \"here\"'}", {"it": 'it\'s "here"'}),
        ('["// no comment", "/* nor */", "a,]"]', ["// no comment", "/* nor */", "a,]"]),
        ('["one \\\nline", "\\x41\\v\\q"]', ["one line", "A\vq"]),
        ("[0xFF, -0x10, .5, 5., +1, 5.e2]", [255, -16, 0.5, 5.0, 1, 500.0]),
        ("[Infinity, -Infinity]", [math.inf, -math.inf]),
        ("{true: true, déjà: 'vu'}", None),  # a name that JSON's words can't be told from
    ],
)
def test_json5_is_read(text: str, value: Any) -> None:
    if value is None:
        with pytest.raises(ValueError):
            json.loads(as_json(text))
    else:
        assert json.loads(as_json(text)) == value


@pytest.mark.parametrize("text", ["{a: 'open}", "{a: /* open }", "{a: @}", "", "{a 1}", "[1 2]"])
def test_what_is_no_json5_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        json.loads(as_json(text))


JSON5 = "{\n  // by pnpm\n  name: 'shop',\n  scripts: {start: 'node main.js'},\n  engines: {pnpm: '^10.33.0'},\n}\n"


@pytest.mark.parametrize(
    "manifest", [{"package.json5": JSON5}, {"package.yaml": "name: shop\nscripts:\n  start: node main.js\n"}]
)
def test_other_manifests_of_pnpm_are_installed_by_it(manifest: Tree) -> None:
    plan = planned({**manifest, "main.js": "", "pnpm-lock.yaml": "lockfileVersion: '9.0'\n"})
    (name,) = manifest
    assert plan.reasons[0] == f"`{name}` makes it a Node project." and command(plan) == "exec node main.js"
    assert name in plan.copies and "pnpm-lock.yaml" in plan.copies
    assert "pnpm install --frozen-lockfile" in (plan.generated or "")


def test_a_range_of_pnpm_is_named_by_its_least() -> None:
    text = planned({"package.json5": JSON5, "main.js": ""}).generated or ""
    assert 'npm_config_user_agent="pnpm/10.33.0 node linux"' in text and "'pnpm@^10.33.0'" in text


def test_a_manifest_that_is_no_json5_is_refused() -> None:
    assert refused({"package.json5": "{name: }"}).message == "package.json5 is not valid JSON."
