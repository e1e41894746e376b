"""Versions that another host is told in its variables: in the app's own, or in a file of that host."""

from __future__ import annotations

import pytest

from stackyn_server.buildplan.versions.toolchains import ToolBaseImages, Toolchains
from tests.unit.buildplan.trees import EVERYTHING, Tree, planned, refused

NODES = Toolchains(
    {**EVERYTHING.tools, "node": ToolBaseImages("stackyn/node", ("18", "20", "22", "24"), "22")}
)
NODE: Tree = {"package.json": '{"scripts": {"start": "node s.js"}, "engines": {"node": "24"}}', "s.js": ""}
NETLIFY = '[build.environment]\nNODE_VERSION = "{}"\n'
RENDER = "services:\n- type: web\n  envVars:\n  - key: NODE_VERSION\n    value: {}\n  - fromGroup: shared\n"


@pytest.mark.parametrize(
    ("files", "variables", "image"),
    [
        ({}, {"NODE_VERSION": "20"}, "node:20"),
        ({}, {"RAILPACK_NODE_VERSION": "20"}, "node:20"),
        ({}, {"NIXPACKS_NODE_VERSION": "20"}, "node:20"),
        ({}, {"NODE_VERSION": "twenty", "PYTHON_VERSION": "3.9"}, "node:24"),
        ({"netlify.toml": NETLIFY.format(18)}, {}, "node:18"),
        ({"netlify.toml": NETLIFY.format(18)}, {"NODE_VERSION": "20"}, "node:20"),
        ({"netlify.toml": NETLIFY.replace("build.", "context.production.").format(20)}, {}, "node:20"),
        ({"netlify.toml": NETLIFY.replace('"', "").format(18)}, {}, "node:24"),
        ({"nixpacks.toml": '[variables]\nNIXPACKS_NODE_VERSION = "18"\n'}, {}, "node:18"),
        ({"render.yaml": RENDER.format("20.11.1")}, {}, "node:20"),
        ({"render.yaml": "services:\n" + 2 * RENDER.format(18).removeprefix("services:\n")}, {}, "node:24"),
        ({"render.yaml": "services: 1\n"}, {}, "node:24"),
    ],
)
def test_the_version_of_a_host_is_taken(files: Tree, variables: dict[str, str], image: str) -> None:
    plan = planned({**NODE, **files}, toolchains=NODES, host_variables=variables)
    assert plan.base_images == (f"stackyn/{image}",)


def test_an_unavailable_version_of_another_host_is_reported() -> None:
    plan = planned({**NODE, "netlify.toml": NETLIFY.format("14.2")}, toolchains=NODES)
    assert plan.base_images == ("stackyn/node:24",)
    expected = "`NODE_VERSION` of `netlify.toml` asks for 14.2, which this server does not have."
    assert any(expected in reason for reason in plan.reasons)


def test_what_the_owner_asks_for_and_is_not_here_is_refused() -> None:
    failure = refused(NODE, toolchains=NODES, host_variables={"NODE_VERSION": "14.2"})
    assert failure.message.startswith("`NODE_VERSION` asks for Node 14.2, and this server has Node 18, 20,")
