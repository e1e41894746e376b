"""Every file that planning reads, written to keep its reader busy, in a project that makes its reader look at it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import pairwise

from stackyn_server.buildplan.file_sizes import bytes_allowed
from stackyn_server.buildplan.plan import make_plan
from stackyn_server.buildplan.project import PlanOptions
from stackyn_server.domain.failures import DeploymentFailed
from tests.patience import processor_seconds
from tests.unit.buildplan.trees import EVERYTHING, Tree, encoded

SMALL_BYTES = 30_000
LARGEST_YAML = 120_000  # what is larger is refused
FLASK = {"app.py": "from flask import Flask\napp = Flask(__name__)\n"}
NODE = {
    "package.json": '{"scripts": {"build": "vite build", "start": "node s.js"}, "dependencies": {"vite": "5"}}'
}
STATIC = {"index.html": "hello"}
JAVA = "class A { public static void main(String[] a) {} }"

# The files beside which a file is read, by what they are.
AROUND: Mapping[str, Tree] = {
    "": STATIC,
    "python": {"requirements.txt": "flask\n", **FLASK},
    "python project": {"pyproject.toml": "[project]\nname = 'a'\ndependencies = ['flask']\n", **FLASK},
    "pipenv": {"Pipfile": "[packages]\nflask = '*'\n", **FLASK},
    "node": {**NODE, "s.js": "", "packages/a/package.json": "{}"},
    "go": {"go.mod": "module x\n\ngo 1.22\n", "main.go": "package main\nfunc main() {}\n"},
    "rust": {"Cargo.toml": "[package]\nname = 'a'\n", "src/main.rs": "", "a/Cargo.toml": "[package]\nname = 'b'\n"},
    "java": {"pom.xml": "<project/>", "src/main/java/A.java": JAVA},
    "gradle": {"build.gradle": "", "src/main/java/A.java": JAVA},
    "php": {"composer.json": "{}", "index.php": ""},
    "ruby": {"Gemfile": "gem 'sinatra'\n", "app.rb": ""},
    "dotnet": {"A.csproj": '<Project Sdk="Microsoft.NET.Sdk.Web"/>'},
    "elixir": {"mix.exs": "app: :a", "mix.lock": "%{}"},
    "deno": {"deno.json": "{}", "main.ts": ""},
    "make": {"CMakeLists.txt": "project(a)\nadd_executable(a a.c)\n", "a.c": ""},
    "meson": {"meson.build": "project('a', 'c')\nexecutable('a', 'a.c')\n", "a.c": ""},
    "hugo": {"hugo.toml": ""}, "jekyll": {"_config.yml": "", "index.md": ""}, "mkdocs": {"mkdocs.yml": "site_name: a"},
    "zola": {"config.toml": "base_url = 'x'\n"},
}  # fmt: skip

# File to its surroundings, and what a reader of its kind may trip over: each is repeated.
FILES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "Dockerfile": ("", ("FROM a AS b\nCMD x\n", "FROM a\n", "ARG a=$a\n", "RUN <<A <<B ", "RUN a \\\n", "# a=b\n")),
    "compose.yaml": ("", ("a", 'a: ["', '\\"', "a: &a [*a]\n", "services:\n", "  - ")),
    "stackyn.toml": ("", ("a = 1\n", "[a]\n")),
    "Procfile": ("node", ("web: ", "web: a\n", "${", "a && ")),
    "wrangler.json": ("node", ('{"main": "',)), "wrangler.jsonc": ("node", ()), "wrangler.toml": ("node", ()),
    "Aptfile": ("python", ("a b\n",)),
    "railpack.json": ("node", ('{"packages": {"a": ', '["a",')),
    "nixpacks.toml": ("node", ("[phases.a]\naptPkgs = ['a']\n",)),
    "mise.toml": ("python", ("[tools]\n", "a = '1'\n")), ".mise.toml": ("python", ()),
    "mise/config.toml": ("python", ()), ".config/mise.toml": ("python", ()), ".config/mise/config.toml": ("python", ()),
    ".tool-versions": ("python", ("node 1 ",)),
    "railway.json": ("node", ('{"deploy": ',)), "railway.toml": ("node", ()),
    "render.yaml": ("node", ("services:\n- ",)),
    "netlify.toml": ("node", ()), "vercel.json": ("node", ('{"a": /* ',)), "fly.toml": ("node", ("[[services]]\n",)),
    "app.json": ("node", ()),
    "requirements.txt": ("python", ("a==1\n", "-r a.txt\n", "a \\\n", "a [", "\\\n", "a.whl ")),
    "requirements.in": ("python", ()), "requirements-dev.txt": ("python", ()),
    "requirements/production.txt": ("python", ()), "requirements/prod.txt": ("python", ()),
    "requirements-prod.txt": ("python", ()), "requirements/base.txt": ("python", ()),
    "requirements/requirements.txt": ("python", ()), "requirements/common.txt": ("python", ()),
    "pyproject.toml": ("python project", ("[[a]]\n", "a.b.", "'a',", "a = [")),
    "setup.py": ("python", ("import ", "import a.")), "setup.cfg": ("python", ("[a]\n", "a = %(a)s\n")),
    "Pipfile": ("pipenv", ()), "Pipfile.lock": ("pipenv", ('{"default": ',)),
    "uv.lock": ("python project", ('[[package]]\nname = "a"\n',)), "poetry.lock": ("python project", ('name = "a"\n',)),
    "pdm.lock": ("python project", ()), "pylock.toml": ("python project", ()),
    "environment.yml": ("python", ()), ".python-version": ("python", ("3.",)), "runtime.txt": ("python", ("python-",)),
    "app.py": ("python", ("import ", "a.", "(", "from a import a\n", "def a():\n", "'''")),
    "manage.py": ("python", ("a.",)),
    "package.json": ("node", ('{"scripts": {"a": "', '{"a": "\\u0041', "[1,", "//", "/*")),
    "package.json5": ("node", ("{a: 0x", "'\\'")), "package.yaml": ("node", ()),
    "pnpm-workspace.yaml": ("node", ("packages:\n  - '", "[", "  - 'a/*'\n")), ".yarnrc.yml": ("node", ("yarnPath: ",)),
    "package-lock.json": ("node", ()), "npm-shrinkwrap.json": ("node", ()), "yarn.lock": ("node", ("__metadata:\n",)),
    "pnpm-lock.yaml": ("node", ("lockfileVersion: '",)), "bun.lock": ("node", ()), ".nvmrc": ("node", ()),
    ".node-version": ("node", ()), ".bun-version": ("node", ()), "bunfig.toml": ("node", ()),
    "vite.config.js": ("node", ("outDir: '", "outDir ")), "vite.config.ts": ("node", ()),
    "next.config.js": ("node", ()),
    "svelte.config.js": ("node", ("'@sveltejs/adapter-",)), "angular.json": ("node", ('{"projects": ',)),
    "go.mod": ("go", ("go ", "module ", "go\n")), "go.work": ("go", ("use (\n", "use ./a\n")),
    ".go-version": ("go", ()),
    "main.go": ("go", ("package\n", "//go:build \n")),
    "Cargo.toml": ("rust", ("[[bin]]\nname = 'a'\n",)), "rust-toolchain.toml": ("rust", ()),
    "rust-toolchain": ("rust", ()),
    "pom.xml": (
        "java",
        ("<parent>", "<mainClass> ", "<module>a", "<!ENTITY a '&a;&a;'>", "<plugin><artifactId>maven-jar-plugin"),
    ),
    "build.gradle": ("gradle", ("mainClass = '", "application {", "jar { attributes(")),
    "build.gradle.kts": ("gradle", ()), "settings.gradle": ("gradle", ("include ':a'\n",)),
    "settings.gradle.kts": ("gradle", ()), "system.properties": ("java", ("java.runtime.version=",)),
    ".java-version": ("java", ()), ".sdkmanrc": ("java", ("java=",)),
    "src/main/java/A.java": ("java", ("static final ", "void\n", "package ")),
    "composer.json": ("php", ('{"require": ',)), ".php-version": ("php", ()), "index.php": ("php", ()),
    "Gemfile": ("ruby", ("gem", "gem 'a'\n", "ruby", "ruby 'a', ", "'a',")), "Gemfile.lock": ("ruby", ("    a (1)\n",)),
    ".ruby-version": ("ruby", ()), "config.ru": ("ruby", ()), "app.rb": ("ruby", ("require", "require 'a'\n")),
    "A.csproj": ("dotnet", ("<Project Sdk ", "<TargetFramework> ", "<OutputType> ", "<AssemblyName>a ")),
    "global.json": ("dotnet", ('{"sdk": ',)),
    "mix.exs": ("elixir", ("app: :", "{ :", "releases: [")), "mix.lock": ("elixir", ('"a": ', '"a')),
    ".elixir-version": ("elixir", ()),
    "deno.json": ("deno", ('{"tasks": {"a": ',)), "deno.jsonc": ("deno", ("//",)), ".deno-version": ("deno", ()),
    "main.ts": ("deno", ("export default ", "export\n", "from ")),
    "CMakeLists.txt": ("make", ("project ( ", "add_executable ( ")), "meson.build": ("meson", ("executable ( ",)),
    "hugo.toml": ("hugo", ()), "_config.yml": ("jekyll", ("theme: ",)), "mkdocs.yml": ("mkdocs", (" - ", "name: ")),
    "config.toml": ("zola", ("base_url ",)), "start.sh": ("", ("#!", "#!/")), "index.html": ("", ("<script ", "<!--")),
    "Staticfile": ("", ("root: ./", "root", "pushstate: ")),
    "compose.yml": ("", ()), "docker-compose.yaml": ("", ()), "docker-compose.yml": ("", ()),
    "mise.lock": ("python", ("[[tools.node]]\n",)), ".npmrc": ("node", ("a=",)), ".yarnrc": ("node", ('yarn-path "',)),
    ".dvmrc": ("deno", ()), "Directory.Build.props": ("dotnet", ("<TargetFramework> ",)),
    "Makefile": ("make", ("a:\n",)), "makefile": ("make", ()), "GNUmakefile": ("make", ()),
    "composer.lock": ("php", ('{"packages": [',)), "gradle.properties": ("gradle", ("a=",)),
    "gradle/wrapper/gradle-wrapper.properties": ("gradle", ("distributionUrl=", "gradle-")),
    "index.rb": ("ruby", ()), "main.rb": ("ruby", ()), "server.rb": ("ruby", ()), "web.rb": ("ruby", ()),
    ".hugo-version": ("hugo", ()), "hugo.json": ("", ()), "hugo.yaml": ("", ()), "hugo.yml": ("", ()),
    "config.json": ("hugo", ()), "config.yaml": ("hugo", ()), "config.yml": ("hugo", ()),
    "config/_default/hugo.json": ("hugo", ()), "config/_default/hugo.yaml": ("hugo", ()),
    "config/_default/hugo.yml": ("hugo", ()), "_config.yaml": ("jekyll", ()), "mkdocs.yaml": ("", ()),
}  # fmt: skip

# What any reader may trip over, as a whole file, and behind or before an honest one.
PIECES = (
    *(
        " ",
        "\n",
        "\t",
        "a",
        "a\n",
        " \n",
        '"',
        "'",
        "[",
        "{",
        "(",
        "<",
        "\\",
        '\\"',
        "a.",
        "a: ",
        "a = 1\n",
        "#",
    ),
    *("1", "é", "a [", "- "),
)
PIECES_OF_LARGE = (" ", "\n", "a\n", '"', "[", "{")  # of files that honestly have megabytes
_MEBIBYTES_4 = 4 << 20
# A number that is too long for Python, nesting without end, and what is no text.
ODD = (
    "a = " + "1" * 5_000,
    '{"a": ' + "1" * 5_000 + "}",
    "[" * 50_000,
    '{"a":' * 50_000,
    "a: [" * 20_000,
    "\0\ud800",
)


def hostile(path: str, size: int) -> Iterator[str]:
    _, pieces = FILES[path]
    before = encoded(AROUND[FILES[path][0]].get(path, "")).decode()
    for piece in (*(PIECES if size <= _MEBIBYTES_4 else PIECES_OF_LARGE), *pieces):
        repeated = (piece * (size // len(piece.encode())))[: size - len(before.encode()) - 2]
        yield repeated
        yield f"{before}\n{repeated}"
    for piece in pieces:
        room = size - len(piece.encode()) - 2
        yield piece + " " * room + "x"
        yield piece + "\n" * room + "x"
    for first, second in pairwise(pieces):
        yield (first + second) * (size // len((first + second).encode()))
        yield first + second * ((size - len(first)) // len(second.encode()))
    yield from ODD


def seconds_to_plan(path: str, text: str) -> float:
    """Plan a project with this file, and return the processor time that it takes. A refusal is a plan, too."""
    return _seconds({**AROUND[FILES[path][0]], path: text.encode("utf-8", "surrogatepass")})


PARENT = "<project><parent><artifactId>a</artifactId></parent></project>"
ABOVE: Mapping[str, tuple[Tree, tuple[str, ...]]] = {
    "pom.xml": (
        {"web/pom.xml": PARENT, "web/src/main/java/A.java": JAVA},
        ("<parent>", "<parent>\n", "<artifactId> "),
    ),
    "settings.gradle": ({"web/build.gradle": "", "web/src/main/java/A.java": JAVA}, ("'web", ":web")),
    "package.json": ({"web/package.json": '{"scripts": {"start": "node ."}}'}, ('{"workspaces": ["',)),
    "pyproject.toml": ({"web/pyproject.toml": "[project]\nname = 'a'\n"}, ("[tool.uv.workspace]\n",)),
    "Cargo.toml": ({"web/Cargo.toml": "[package]\nname = 'a'\n", "web/src/main.rs": ""}, ("[workspace]\n",)),
    "go.mod": ({"web/go.mod": "module a\n", "web/main.go": "package main"}, ("module a => ../b\n",)),
}


def seconds_to_plan_below(path: str) -> Iterator[tuple[float, str]]:
    """Plan the project in the folder `web`, below each hostile file; also yield what the file repeats."""
    tree, pieces = ABOVE[path]
    for piece in (*PIECES, *pieces):
        above = piece * (bytes_allowed(path) // 20 // len(piece.encode()))
        yield _seconds({**tree, path: above}, root_directory="web"), piece


def _seconds(tree: Tree, root_directory: str = "") -> float:
    contents = {name: encoded(content) for name, content in tree.items()}
    options = PlanOptions(EVERYTHING, default_port=8080, root_directory=root_directory)

    def plan() -> None:
        with suppress(DeploymentFailed):
            json.dumps(make_plan(tree, contents, options).as_json())

    return processor_seconds(plan)
