"""A Dockerfile that packs a program which was built elsewhere is left aside; any other one is built as it says."""

from __future__ import annotations

import pytest

from tests.unit.buildplan.trees import EVERYTHING, Tree, planned, refused

GO = {"go.mod": "module example.com/team/shop/v2\n\ngo 1.24\n", "main.go": "package main\n\nfunc main() {}\n"}
RUST = {"Cargo.toml": '[package]\nname = "shop"\nversion = "1.0.0"\n', "src/main.rs": "fn main() {}\n"}
PACKS = 'FROM alpine\nRUN apk add tzdata\nCOPY --chmod=755 {} /usr/bin/\nENTRYPOINT ["shop"]\n'


@pytest.mark.parametrize(
    ("tree", "runtime"),
    [
        ({**GO, "Dockerfile": PACKS.format("shop")}, "go"),
        ({**GO, "Dockerfile": PACKS.format("./bin/shop entrypoint.sh"), "entrypoint.sh": ""}, "go"),
        ({**GO, "cmd/shopd/main.go": GO["main.go"], "Dockerfile": PACKS.format("dist/shopd")}, "go"),
        ({**RUST, "Containerfile": PACKS.format("shop")}, "rust"),
    ],
)
def test_the_program_is_built_from_its_sources(tree: Tree, runtime: str) -> None:
    plan = planned(tree, toolchains=EVERYTHING)
    assert plan.runtime == runtime
    assert any("is left aside: it packs the program `" in reason for reason in plan.reasons)


@pytest.mark.parametrize(
    "tree",
    [
        {**GO, "Dockerfile": PACKS.format("shop"), "shop": b"\x7fELF"},
        {**GO, "Dockerfile": PACKS.format("shop"), "shop/shop.go": "package shop\n"},
        {**GO, "Dockerfile": PACKS.format("settings.toml")},
        {**GO, "Dockerfile": PACKS.format("--from=build /go/bin/shop")},
        {**GO, "Dockerfile": f"{PACKS.format('shop')}\nFROM alpine\nCOPY . .\n"},
        {**GO, "Dockerfile": "FROM alpine\nCOPY <<EOF /shop\nCOPY shop /\nEOF\n"},
        {"package.json": "{}", "Dockerfile": PACKS.format("shop")},
    ],
)
def test_any_other_dockerfile_is_built(tree: Tree) -> None:
    assert planned(tree, toolchains=EVERYTHING).runtime == "dockerfile"


@pytest.mark.parametrize(
    "asked", [{"use_dockerfile": True}, {"dockerfile_path": "Dockerfile"}, {"runtime": "docker"}]
)
def test_the_owner_may_ask_for_it(asked: dict[str, object]) -> None:
    assert (
        planned({**GO, "Dockerfile": PACKS.format("shop")}, toolchains=EVERYTHING, **asked).runtime
        == "dockerfile"
    )


def test_a_refusal_says_that_there_is_such_a_dockerfile() -> None:
    tree = {
        **GO,
        "main.go": "package main\n\n//go:embed dist\nvar files embed.FS\n",
        "Dockerfile": PACKS.format("shop"),
    }
    failure = refused(tree, toolchains=EVERYTHING)
    assert failure.message.startswith("`main.go` embeds `dist`")
    assert failure.hint.startswith("`Dockerfile` is left aside: it packs the program `shop`")
