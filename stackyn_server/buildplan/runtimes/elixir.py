"""Elixir: a release of Mix; Phoenix with its assets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.buildplan.generated.instructions import COPY_ALL, run
from stackyn_server.buildplan.generated.stages import COPY_APP, plan_of, two_stages
from stackyn_server.buildplan.project import PlanOptions, Project, Runtime, undetected
from stackyn_server.buildplan.settings.start_command import PROCFILE, configured_command
from stackyn_server.buildplan.versions.requirement import Dialect, VersionRequest, parse_requirement
from stackyn_server.buildplan.versions.version_files import TOOL_FILES, version_in_file, version_in_tool_files

MANIFEST, LOCK = "mix.exs", "mix.lock"
VERSION_FILE = ".elixir-version"
IGNORED = ("_build", "deps", "assets/node_modules")
_COMMENT = re.compile(r"^[ \t]*#.*$", re.MULTILINE)
_APP = re.compile(r"\bapp:\s*:([a-z_][a-z0-9_]*)")
_RELEASES = re.compile(r"\breleases:\s*\[\s*([a-z_][a-z0-9_]*):")
_VERSION = re.compile(r"\belixir:\s*\"([^\"\n]{1,60})\"")
_LOCKED = re.compile(r"\"\w+\":\s*\{")
_PACKAGE = re.compile(r"\{\s*:([a-z_][a-z0-9_]*)\s*,")


def _needs(files: frozenset[str], options: PlanOptions) -> Iterable[str]:
    return (MANIFEST, LOCK, VERSION_FILE, PROCFILE, *TOOL_FILES) if MANIFEST in files else ()


def _plan(project: Project) -> BuildPlan | None:
    if not project.has(MANIFEST):
        return None
    text = _COMMENT.sub("", project.text(MANIFEST) or "")
    choice = project.options.toolchains.choose("elixir", _requested_version(project, text))
    reasons = [f"`{MANIFEST}` makes it an Elixir project.", choice.reason]
    packages = frozenset(_PACKAGE.findall(text))
    is_phoenix = "phoenix" in packages
    name_match = _RELEASES.search(text) or _APP.search(text)
    configured = configured_command(project)
    if name_match is None and not configured:
        raise undetected(
            f"This is an Elixir project ({MANIFEST}), but its name can't be read there.",
            "Name it with `app:` in mix.exs, or set the app's start command. Of an umbrella, name a release.",
        )
    steps = [
        "ENV MIX_ENV=prod LANG=C.UTF-8 HEX_HOME=/cache/hex MIX_HOME=/cache/mix",
        COPY_ALL,
        *_install(project, packages),
    ]
    steps += _build(project, text, is_phoenix, reasons)
    if configured:
        # Commands such as `mix phx.server` need tools that a release does not contain.
        reasons.append(configured[1])
        command, copies = configured[0], (COPY_APP,)
        if re.search(r"\b(?:mix|elixir|iex)\b", command):
            choice = replace(choice, image=choice.build_image or choice.image)
    else:
        name = name_match[1] if name_match else ""
        reasons.append(f"Its release {name} is made and started.")
        command = f"bin/{name} start"
        copies = (f"COPY --from=build --chown=app:app /app/_build/prod/rel/{name}/ /app/",)
    environment = ["LANG=C.UTF-8", "MIX_ENV=prod"]
    if is_phoenix:
        reasons.append(
            "It is a Phoenix app: it needs the variable SECRET_KEY_BASE, and PHX_HOST for its own links."
        )
        environment.append("PHX_SERVER=true")
    dockerfile = two_stages(project, choice, steps, command, copies=copies, environment=environment)
    return plan_of(project, RUNTIME.name, reasons, dockerfile, ignore=IGNORED)


def _install(project: Project, packages: frozenset[str]) -> list[str]:
    if project.options.install_command:
        return [run(project.options.install_command, "elixir")]
    if not packages and not _LOCKED.search(project.text(LOCK) or ""):
        return []
    tools = "mix local.hex --force --if-missing && mix local.rebar --force --if-missing"
    return [run(f"{tools} && mix deps.get --only prod", "elixir")]


def _build(project: Project, text: str, is_phoenix: bool, reasons: list[str]) -> list[str]:
    if project.options.build_command:
        return [run(project.options.build_command, "elixir")]
    lines = ["mix compile"]
    if '"assets.deploy"' in text or "'assets.deploy'" in text:
        reasons.append("Its alias `assets.deploy` makes the assets.")
        if '"assets.setup"' in text:
            lines.append("mix assets.setup")
        lines.append("mix assets.deploy")
    elif is_phoenix:
        lines.append("mix phx.digest")
    lines.append("mix release --overwrite")
    return [run(" && ".join(lines), "elixir")]


def _requested_version(project: Project, text: str) -> VersionRequest | None:
    pinned = version_in_tool_files(project.text, "elixir", Dialect.RUBY) or version_in_file(
        project.text(VERSION_FILE), VERSION_FILE, Dialect.RUBY
    )
    if pinned:
        # 1.16.2-otp-26 is Elixir 1.16.2 for Erlang/OTP 26.
        requirement = parse_requirement(pinned.requirement.text.split("-otp")[0], Dialect.RUBY)
        return VersionRequest(requirement, pinned.origin) if requirement else None
    if match := _VERSION.search(text):
        return VersionRequest.read(
            match[1].replace(" or ", "||").replace(" and ", ","), MANIFEST, Dialect.RUBY
        )
    return None


RUNTIME = Runtime(name="elixir", looked_for=f"Elixir ({MANIFEST})", needs=_needs, plan=_plan)
