"""Ruby: Rails, Rack apps and scripts."""

from __future__ import annotations

import pytest

from tests.unit.buildplan.trees import EVERYTHING, Tree, command, lines, planned, refused, step

RAILS = {
    "Gemfile": 'source "https://rubygems.org"\ngem "rails", "~> 8.0"\ngem "propshaft"\ngem "puma"\n',
    "Gemfile.lock": "GEM\n  specs:\n    rails (8.0.1)\n",
    "config/application.rb": "",
    "config.ru": "",
}
SINATRA = {"Gemfile": 'gem "sinatra"\ngem "puma"\n', "app.rb": 'require "sinatra"\n'}


def test_rails_makes_its_assets_and_gets_a_secret() -> None:
    plan = planned(RAILS, toolchains=EVERYTHING)
    assert "assets:precompile" in step(plan, "assets") and "bundle install" in step(plan, "bundle install")
    assert command(plan).endswith(
        "exec bundle exec rails server --binding 0.0.0.0 --port $PORT --environment production"
    )
    assert "${SECRET_KEY_BASE:-" in command(plan)
    assert {"FROM stackyn/ruby:3.3-build AS build", "FROM stackyn/ruby:3.3"} <= set(lines(plan))


@pytest.mark.parametrize(
    ("tree", "start"),
    [
        ({"Gemfile": 'gem "puma"', "config.ru": ""}, "bundle exec puma --bind tcp://0.0.0.0:$PORT"),
        ({"Gemfile": 'gem "rackup"', "config.ru": ""}, "bundle exec rackup --host 0.0.0.0 --port $PORT"),
        ({"config.ru": ""}, "rackup --host 0.0.0.0 --port $PORT"),
        (SINATRA, "bundle exec ruby app.rb -o 0.0.0.0 -p $PORT"),
        ({"Gemfile": "", "main.rb": "puts 1"}, "bundle exec ruby main.rb"),
        ({"app.rb": "puts 1"}, "ruby app.rb"),
        ({**SINATRA, "Procfile": "web: bundle exec puma"}, "bundle exec puma"),
    ],
)
def test_how_it_is_started(tree: Tree, start: str) -> None:
    plan = planned(tree, toolchains=EVERYTHING)
    assert plan.runtime == "ruby" and command(plan) == f"exec {start}"
    assert "ENV LD_PRELOAD=libjemalloc.so.2" in lines(plan)


@pytest.mark.parametrize(
    ("gemfile", "is_left_out"),
    [
        ("ruby '3.1.4'\n", True),
        ("ruby '~> 3.1.4'\n", True),
        ("ruby '3.1'\n", False),
        ("ruby '>= 3.1', '< 3.3'\n", False),
        ("", False),
    ],
)
def test_a_patch_in_the_gemfile_that_is_not_here_is_left_out(gemfile: str, is_left_out: bool) -> None:
    plan = planned({"Gemfile": gemfile, "app.rb": ""}, toolchains=EVERYTHING)
    assert any("sed -i" in line for line in lines(plan)) is is_left_out


@pytest.mark.parametrize(
    ("files", "version"),
    [
        ({}, "3.3"),
        ({".ruby-version": "3.1.2\n"}, "3.1"),
        ({".ruby-version": "ruby-3.1.2\n"}, "3.1"),
        ({"Gemfile": 'ruby "~> 3.1.0"\n'}, "3.1"),
        ({"Gemfile": 'ruby ">= 3.0", "< 3.2"\n'}, "3.1"),
        ({"Gemfile": "ruby '3.1.2'\n", ".ruby-version": "3.3.0"}, "3.1"),
        ({".tool-versions": "ruby 3.1.2\n"}, "3.1"),
        ({"mise.toml": '[tools]\nruby = "3.1"\n', ".ruby-version": "3.3.0"}, "3.1"),
    ],
)
def test_the_version_is_read_from_the_project(files: Tree, version: str) -> None:
    plan = planned({"Gemfile": "", "app.rb": "", **files}, toolchains=EVERYTHING)
    assert f"FROM stackyn/ruby:{version}" in lines(plan)


def test_a_version_that_is_not_there_is_refused() -> None:
    failure = refused({"Gemfile": 'ruby "2.6.6"\n', "app.rb": ""}, toolchains=EVERYTHING)
    assert failure.message == "`Gemfile` asks for Ruby 2.6.6, and this server has Ruby 3.1 and 3.3."


def test_vendored_gems_are_installed_from_the_repository() -> None:
    plan = planned({**SINATRA, "vendor/cache/sinatra-4.1.1.gem": ""}, toolchains=EVERYTHING)
    assert step(plan, "bundle install").endswith("--local")


@pytest.mark.parametrize("gems", ['gem "execjs"', 'gem "webpacker"'])
def test_gems_that_run_javascript_bring_node(gems: str) -> None:
    plan = planned({**SINATRA, "Gemfile": f'{gems}\ngem "sinatra"\n'}, toolchains=EVERYTHING)
    assert lines(plan).count("COPY --from=stackyn/node:22 /usr/local/ /usr/local/") == 2


def test_gems_with_headers_get_them_while_building_only() -> None:
    text = "\n".join(
        lines(planned({**SINATRA, "Gemfile": 'gem "sinatra"\ngem "pg"\n'}, toolchains=EVERYTHING))
    )
    build, run = text.split("FROM stackyn/ruby:3.3\n")
    assert "libpq-dev" in build and "libpq-dev" not in run and "libpq5" in run


def test_a_gemfile_alone_is_refused() -> None:
    failure = refused({"Gemfile": "", "lib/a.rb": ""}, toolchains=EVERYTHING)
    assert "Ruby project" in failure.message and "config.ru" in failure.hint


def test_a_gemfile_beside_another_app_is_ruby_if_started() -> None:
    tree = {"package.json": '{"scripts": {"start": "x"}}', "Gemfile": "gem 'rack'"}
    assert planned({**tree, "config.ru": ""}, toolchains=EVERYTHING).runtime == "ruby"
    assert planned({**tree, "Procfile": "web: bundle exec serve"}, toolchains=EVERYTHING).runtime == "ruby"


@pytest.mark.parametrize(
    ("tree", "gems", "start"),
    [
        (
            {"config.ru": "run ->(env) { [200, {}, []] }"},
            "rack rackup puma",
            "rackup --host 0.0.0.0 --port $PORT",
        ),
        ({"app.rb": "require 'sinatra'"}, "rack rackup puma sinatra", "ruby app.rb -o 0.0.0.0 -p $PORT"),
    ],
)
def test_what_serves_is_installed_where_there_is_no_gemfile(tree: Tree, gems: str, start: str) -> None:
    plan = planned(tree, toolchains=EVERYTHING)
    assert f"RUN gem install --no-document {gems}" in lines(plan)
    assert command(plan) == f"exec {start}"
    assert not any("gem install" in line for line in lines(planned({"app.rb": ""}, toolchains=EVERYTHING)))


@pytest.mark.parametrize(
    ("tree", "runtime"),
    [
        ({"app.rb": "require 'sinatra'"}, "ruby"),
        ({"config.ru": "run App"}, "ruby"),
        ({"main.rb": "puts 1"}, "static"),
    ],
)
def test_a_server_beside_a_page_is_started_and_a_helper_is_not(tree: Tree, runtime: str) -> None:
    assert planned({"index.html": "", **tree}, toolchains=EVERYTHING).runtime == runtime
