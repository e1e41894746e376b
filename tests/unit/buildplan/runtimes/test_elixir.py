"""Elixir: releases of Mix, and Phoenix."""

from __future__ import annotations

import pytest

from tests.unit.buildplan.trees import EVERYTHING, Tree, command, lines, planned, refused, step


def mix(inner: str = "", packages: str = "", app: str = "shop") -> str:
    return (
        "defmodule Shop.MixProject do\n  use Mix.Project\n  def project do\n"
        f'    [app: :{app}, version: "0.1.0", {inner} deps: deps()]\n  end\n'
        f"  defp deps do\n    [{packages}]\n  end\nend\n"
    )


PHOENIX = mix('aliases: ["assets.setup": [], "assets.deploy": ["esbuild"]],', '{:phoenix, "~> 1.8"}')


def test_a_release_is_made_and_only_it_runs() -> None:
    plan = planned({"mix.exs": mix()}, toolchains=EVERYTHING)
    assert plan.runtime == "elixir" and command(plan) == "exec bin/shop start"
    assert "COPY --from=build --chown=app:app /app/_build/prod/rel/shop/ /app/" in lines(plan)
    assert {"FROM stackyn/elixir:1.18 AS build", "FROM stackyn/base:13"} <= set(lines(plan))


@pytest.mark.parametrize(
    ("lock", "is_fetched"),
    [({}, False), ({"mix.lock": "%{\n}\n"}, False), ({"mix.lock": '%{\n  "jason": {:hex, :jason'}, True)],
)
def test_hex_is_fetched_only_for_packages(lock: Tree, is_fetched: bool) -> None:
    plan = planned({"mix.exs": mix(), **lock}, toolchains=EVERYTHING)
    assert any("local.hex" in line for line in lines(plan)) is is_fetched


def test_packages_are_fetched_as_locked() -> None:
    plan = planned({"mix.exs": mix(packages='{:plug_cowboy, "~> 2.7"}')}, toolchains=EVERYTHING)
    assert "mix deps.get --only prod" in step(plan, "local.hex")


def test_phoenix_makes_its_assets_and_serves() -> None:
    plan = planned({"mix.exs": PHOENIX, "assets/js/app.js": ""}, toolchains=EVERYTHING)
    assert "mix assets.setup && mix assets.deploy && mix release" in step(plan, "assets")
    assert "ENV PHX_SERVER=true" in lines(plan)
    assert any("SECRET_KEY_BASE" in reason for reason in plan.reasons)


def test_a_named_release_wins_over_the_app() -> None:
    plan = planned(
        {"mix.exs": mix("releases: [prod: [include_executables_for: [:unix]]],")}, toolchains=EVERYTHING
    )
    assert command(plan) == "exec bin/prod start"


def test_the_owners_mix_command_keeps_the_tools() -> None:
    plan = planned({"mix.exs": mix(), "Procfile": "web: mix run --no-halt"}, toolchains=EVERYTHING)
    assert command(plan) == "exec mix run --no-halt" and lines(plan).count("FROM stackyn/elixir:1.18") == 1


@pytest.mark.parametrize(
    ("tree", "version"),
    [
        ({"mix.exs": mix('elixir: "~> 1.14",')}, "1.18"),
        ({"mix.exs": mix('elixir: "~> 1.14.0",')}, "1.14"),
        ({"mix.exs": mix(), ".tool-versions": "erlang 25.2\nelixir 1.14.2-otp-25\n"}, "1.14"),
        ({"mix.exs": mix(), ".elixir-version": "1.14"}, "1.14"),
        ({"mix.exs": mix(), "mise.toml": '[tools]\nelixir = "1.14"\n'}, "1.14"),
    ],
)
def test_the_version_is_read_from_the_project(tree: Tree, version: str) -> None:
    assert f"FROM stackyn/elixir:{version} AS build" in lines(planned(tree, toolchains=EVERYTHING))


def test_a_version_that_is_not_there_is_refused() -> None:
    failure = refused({"mix.exs": mix('elixir: "~> 1.99",')}, toolchains=EVERYTHING)
    assert "Elixir ~> 1.99, and this server has Elixir 1.14 and 1.18" in failure.message


def test_a_comment_is_no_setting() -> None:
    plan = planned(
        {"mix.exs": mix().replace("  def project", '  # elixir: "~> 1.99"\n  def project')},
        toolchains=EVERYTHING,
    )
    assert "FROM stackyn/elixir:1.18 AS build" in lines(plan)
