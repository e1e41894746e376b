"""Deployments that fail tell the cause in a sentence, the next step, and the lines that say it, wherever they stand.

What a tool prints is recorded in tests/unit/diagnosis. Here real tools fail in real builds and starts, most of them in
the long tier; and tiny apps print what was recorded, to show that it goes all the way.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.git_server import GitServer
from tests.server_process import ServerProcess
from tests.tiny import DOCKERFILE, Tree, tiny_app

RECORDED = Path(__file__).parent.parent / "unit/diagnosis/recorded"
BUILD, START = "BUILD_FAILED", "APP_EXITED"


@dataclass(frozen=True)
class Failing:
    """`says` is in the message, `shows` in the evidence."""

    name: str
    code: str
    says: str
    shows: str
    tree: Tree


def package(start: str = "node index.js", **more: object) -> str:
    return json.dumps({"name": "shop", "version": "1.0.0", "scripts": {"start": start}, **more})


def python(requirements: str, main: str, start: str) -> Tree:
    return {"requirements.txt": requirements, "main.py": main, "Procfile": f"web: {start}\n"}


LOCK = json.dumps(
    {"name": "shop", "version": "1.0.0", "lockfileVersion": 3, "packages": {"": {"name": "shop"}}}
)
NODE = {"index.js": "require('http').createServer().listen(process.env.PORT)\n"}
OF_ARM = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00" + bytes(60)
SETTINGS = "import os\nSECRET_KEY = os.environ['SECRET_KEY']\nROOT_URLCONF = 'main'\n"

FEW = [
    Failing(
        "copy", BUILD, "does not find /nowhere", ">>> COPY nowhere",
        tiny_app(dockerfile=DOCKERFILE + "COPY nowhere /\n"),
    ),
    Failing(
        "lock", BUILD, "package-lock.json is out of step", "Missing: left-pad@",
        {
            **NODE,
            "Dockerfile": 'FROM stackyn/node:22\nCOPY . .\nRUN npm ci\nCMD ["node", "index.js"]\n',
            "package.json": package(dependencies={"left-pad": "1.3.0"}),
            "package-lock.json": LOCK,
        },
    ),
    Failing(
        "module", START, "Node does not find the module express", "Cannot find module 'express'",
        {"package.json": package(), "index.js": "console.log('x\\n'.repeat(99))\nrequire('express')\n"},
    ),
]  # fmt: skip
MANY = [
    Failing(
        "version-of-package", BUILD, "does not have idna==99.0", "No matching distribution",
        python("idna==99.0\n", "", "python main.py"),
    ),
    Failing(
        "conflict", BUILD, "contradict each other", "flask 3.0.0 depends on",
        python("flask==3.0.0\nwerkzeug==2.0.0\n", "", "python main.py"),
    ),
    Failing(
        "types", BUILD, "TypeScript refuses the code: Type 'string'", "index.ts(1,7)",
        {
            "package.json": package(
                scripts={"build": "tsc -p .", "start": "node index.js"}, devDependencies={"typescript": "5.7.2"}
            ),
            "tsconfig.json": '{"files": ["index.ts"]}',
            "index.ts": 'const n: number = "a";\n',
        },
    ),
    Failing(
        "script", BUILD, "package.json has no script compile", "Missing script",
        {**NODE, "package.json": package(scripts={"build": "npm run compile", "start": "node index.js"})},
    ),
    Failing(
        "bundle", BUILD, "does not find what is imported as ./Header.js", "main.js",
        {
            "package.json": package(scripts={"build": "vite build"}, devDependencies={"vite": "6.0.5"}),
            "index.html": '<script type="module" src="/main.js"></script>',
            "main.js": 'import "./Header.js"\n',
            "header.js": "",
        },
    ),
    Failing(
        "heap", "BUILD_OUT_OF_MEMORY", "JavaScript heap", "heap out of memory",
        {
            **NODE,
            "package.json": package(
                scripts={"build": "node --max-old-space-size=32 fill.js", "start": "node index.js"}
            ),
            "fill.js": "const a = []; for (;;) a.push(new Array(1e5).fill(0.5))\n",
        },
    ),
    Failing(
        "private-address", BUILD, "tried to reach 10.", "10.",
        {
            **NODE,
            "package.json": package(scripts={"build": "node reach.js", "start": "node index.js"}),
            "reach.js": "require('net').connect(5432, '10.1.2.3')\n",
        },
    ),
    Failing(
        "compiled-for-other", START, "/tool is no program for this server's processor", "ELF",
        {"Dockerfile": 'FROM stackyn/node:22\nCOPY --chmod=755 tool /tool\nCMD ["/tool"]\n', "tool": OF_ARM},
    ),
    Failing(
        "gunicorn", START, "Python does not find the module requests", "import requests",
        python("gunicorn==23.0.0\n", "import requests\n", "gunicorn main:app"),
    ),
    Failing(
        "django", START, "variable SECRET_KEY is not set", "SECRET_KEY",
        python("gunicorn==23.0.0\n", SETTINGS, "gunicorn main:app"),
    ),
    Failing(
        "uvicorn", START, 'Could not import module "app"', "Error loading ASGI app",
        python("uvicorn==0.34.0\n", "", "uvicorn app:app"),
    ),
    Failing(
        "syntax", START, "Python can't read the code", "def broken(:",
        python("idna==3.10\n", "def broken(:\n", "python main.py"),
    ),
    Failing(
        "shell", START, "program honcho was not found", "honcho: not found",
        python("idna==3.10\n", "", "honcho start"),
    ),
]  # fmt: skip

PRINTED = [
    ("gunicorn-import", 3, "Python does not find the module requests"),
    ("uvicorn-module", 1, 'Could not import module "main"'),
    ("python-variable", 1, "The environment variable DATABASE_URL is not set"),
    ("python-postgres", 1, "could not reach a database or another service (127.0.0.1)"),
    ("node-abi", 1, "made for another system or version"),
    ("node-port-in-use", 1, "a port that is in use already"),
    ("python-libgl", 1, "The system library libGL.so.1 is not in the image"),
    ("alembic-revision", 1, "migrations don't fit together"),
    ("django-no-hosts", 1, "ALLOWED_HOSTS is empty"),
    ("next-not-built", 1, "Next.js was started without a build"),
    ("shell-not-found", 127, "The program gunicorn was not found"),
]


def printing(recording: str, exit_code: int) -> Tree:
    """An app that prints what a tool printed, with much else around it, and ends."""
    printed = (RECORDED / f"{recording}.txt").read_text().partition("\n")[2]
    noise = "for i in 1 2 3 4 5 6 7 8; do for j in 1 2 3 4 5 6 7 8; do echo waiting; done; done\n"
    start = f"{noise}/bin/busybox cat <<'SAID'\n{printed}\nSAID\n{noise}exit {exit_code}\n"
    return tiny_app(start=start)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "case", [*FEW, *(pytest.param(case, marks=pytest.mark.full) for case in MANY)], ids=lambda case: case.name
)
async def test_a_failed_deployment_says_why(server: ServerProcess, git: GitServer, case: Failing) -> None:
    failure = await _failure(server, git, f"explained-{case.name}", case.tree)

    assert failure["code"] == case.code, failure
    assert case.says in failure["message"], "".join(f"{key}: {value}" for key, value in failure.items())
    assert case.shows in failure["evidence"], failure["evidence"]


@pytest.mark.timeout(300)
async def test_a_start_that_fails_says_why_amid_much_else(server: ServerProcess, git: GitServer) -> None:
    at_once = asyncio.Semaphore(2)

    async def deploy_recording(recording: str, exit_code: int, says: str) -> None:
        async with at_once:
            failure = await _failure(server, git, f"says-{recording}", printing(recording, exit_code))
        assert failure["code"] == START, failure
        assert says in failure["message"] and f"code {exit_code}" in failure["message"], failure
        assert failure["evidence"].count("waiting") <= 2, failure["evidence"]

    async with asyncio.TaskGroup() as group:
        for row in PRINTED:
            group.create_task(deploy_recording(*row))


async def _failure(server: ServerProcess, git: GitServer, name: str, tree: Tree) -> Mapping[str, str]:
    """Deploy `tree` as an app, return why it failed, and remove it."""
    url, _ = await git.publish(name, tree)
    app, deployment = await server.create(url, name)
    failed = await server.deployed(deployment, "failed", seconds=240)
    log = await server.build_log(deployment)
    await server.api("DELETE", f"/api/v1/apps/{app}", expect=200)
    failure: Mapping[str, str] = failed["failure"]
    assert failure["message"] in log
    assert failure["hint"] and failure["hint"] in log
    return failure
