"""Finds the command that a package.json script runs behind `cross-env`, assignments and other scripts. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

_MOST_STEPS = 12
LONGEST_SCRIPT = 4_000
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=\S*")
# Words in front of the program that a command runs.
_PREFIXES = frozenset(("cross-env", "cross-env-shell", "env", "exec", "--", "npx", "bunx", "pnpx"))
_DOTENV = frozenset(("dotenv", "dotenvx", "env-cmd", "dotenv-run-script"))
_RUNNERS = (("pnpm", "exec"), ("yarn", "exec"), ("bun", "exec"), ("bun", "--bun"), ("bun", "x"))
_MANAGERS = frozenset(("npm", "yarn", "pnpm", "bun"))
_TOOLS = frozenset(("yarn", "pnpm", "bun", "bunx", "pnpx"))
# Development servers: a `start` script that only runs one of these does not make an app.
_DEVELOPMENT = (  # program, first word behind it
    ("react-scripts", "start"), ("react-app-rewired", "start"),
    ("craco", "start"), ("vue-cli-service", "serve"), ("astro", "dev"), ("astro", "preview"), ("astro", "start"),
    ("gatsby", "develop"), ("gatsby", "serve"), ("docusaurus", "start"), ("docusaurus", "serve"), ("ng", "serve"),
    ("nest", "start"), ("eleventy", "--serve"), ("@11ty/eleventy", "--serve"), ("eleventy", "--watch"),
    ("webpack", "serve"), ("vitepress", "dev"), ("vitepress", "preview"), ("next", "dev"), ("nuxt", "dev"),
    ("nuxi", "dev"), ("nuxt", "preview"), ("nuxi", "preview"), ("remix", "dev"), ("remix", "vite:dev"),
    ("react-router", "dev"), ("svelte-kit", "dev"), ("expo", "start"), ("rsbuild", "dev"), ("rspack", "serve"),
    ("storybook", "dev"), ("ember", "serve"), ("hexo", "server"), ("vinxi", "dev"), ("ionic", "serve"),
    ("stencil", "build"), ("quasar", "dev"), ("preact", "watch"), ("rspress", "dev"),
)  # fmt: skip
# Programs that only serve files, and programs that serve unless they are told to build.
_FILE_SERVERS = frozenset(("webpack-dev-server", "serve", "http-server", "live-server", "browser-sync"))
_BUILD_OR_SERVE = frozenset(("vite", "parcel"))


def effective_command(name: str, scripts: Mapping[str, str]) -> str:
    """Return the last command that a script runs, without prefixes, followed through other scripts."""
    command, followed = scripts.get(name, ""), {name}
    for _ in range(_MOST_STEPS):
        words = _bare_words(command)
        called_script = _script_named(words)
        # A script that seems to run itself does so in another folder, as in `cd web && npm start`.
        if called_script is None or called_script not in scripts or called_script in followed:
            return " ".join(words[1:] if words[:1] in (["yarn"], ["pnpm"]) else words)
        command = scripts[called_script]
        followed.add(called_script)
    return ""


def is_development(command: str) -> bool:
    """True for a command of `effective_command` that is a development server or only serves files."""
    words = command.split()
    if not words:
        return False
    program = words[0] if words[0].startswith("@") else words[0].rpartition("/")[2]
    rest = [word for word in words[1:] if not word.startswith("-") or word in ("--serve", "--watch")]
    if program in _FILE_SERVERS or (program in _BUILD_OR_SERVE and rest[:1] != ["build"]):
        return True
    return (program, *rest[:1]) in _DEVELOPMENT


def tools_in(*commands: str) -> frozenset[str]:
    """Return the package managers, and bun, that commands call by name."""
    words = (word for command in commands for word in re.split(r"[\s;&|()]+", command[:LONGEST_SCRIPT]))
    return frozenset({"bunx": "bun", "pnpx": "pnpm"}.get(word, word) for word in words if word in _TOOLS)


def option_value(command: str, *names: str) -> str | None:
    """Return the value of an option such as `--outDir build` or `--outDir=build`."""
    words = command[:LONGEST_SCRIPT].split()
    for word, following in zip(words, [*words[1:], ""], strict=False):
        name, equals, value = word.partition("=")
        if name in names and (value if equals else following):
            return (value if equals else following).strip("'\"")
    return None


def _bare_words(command: str) -> list[str]:
    """Return the words of the last command of a line, from its program on."""
    words = re.split(r"&&|;|\|\|", command[:LONGEST_SCRIPT])[-1].split()
    position = 0
    while position < len(words):
        if _ASSIGNMENT.fullmatch(words[position]) or words[position] in _PREFIXES:
            position += 1
        elif words[position] in _DOTENV:
            position += 1
            while position < len(words) and words[position].startswith("-"):
                position += 2 if words[position] in ("-e", "-f", "--file") else 1
        elif tuple(words[position : position + 2]) in _RUNNERS:
            position += 2
        else:
            break
    return words[position:]


def _script_named(words: list[str]) -> str | None:
    """Return the script that `npm run build`, `yarn build` or `npm start` runs."""
    if not words or words[0] not in _MANAGERS:
        return None
    rest = [word for word in words[1:] if not word.startswith("-")]
    if rest[:1] in (["run"], ["run-script"]):
        rest = rest[1:]
    elif words[0] == "npm" and rest[:1] != ["start"]:
        return None
    return rest[0] if rest else None
