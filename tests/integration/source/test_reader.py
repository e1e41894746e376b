"""Planning in a child process: what it may do, how it ends, and that nothing it says is taken on trust."""

from __future__ import annotations

import asyncio
import io
import json
import os
import select
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.buildplan.child import conversation
from stackyn_server.buildplan.child.conversation import options_as_json
from stackyn_server.buildplan.child.rights import NOBODY
from stackyn_server.buildplan.file_sizes import bytes_allowed
from stackyn_server.buildplan.project import PlanOptions
from stackyn_server.config import ReadingSettings
from stackyn_server.domain.failures import DeploymentFailed, FailureCode
from stackyn_server.source import reader
from stackyn_server.source.children import Child
from tests.git_server import Link, Tree
from tests.integration.source.conftest import FLASK, OPTIONS, Fetched, lose_objects
from tests.loop import longest_wait

READING = ReadingSettings()


async def planned(
    fetched: Fetched,
    clone: Path,
    tree: Tree,
    reading: ReadingSettings = READING,
    options: PlanOptions = OPTIONS,
) -> BuildPlan:
    return await reader.plan(reading, clone, await fetched(tree), tree, options)


async def test_a_plan_comes_from_the_files_of_the_commit(fetched: Fetched, clone: Path) -> None:
    tree = {"requirements.txt": Link("pip/all.txt"), "pip/all.txt": "flask\ngunicorn", "app.py": FLASK}
    plan = await planned(fetched, clone, tree)
    assert plan.runtime == "python" and "gunicorn" in (plan.generated or "")


async def test_a_failure_arrives_with_its_code_and_sentences(fetched: Fetched, clone: Path) -> None:
    with pytest.raises(DeploymentFailed, match="UTF-16") as failed:
        await planned(fetched, clone, {"Dockerfile": "FROM x".encode("utf-16")})
    assert failed.value.failure.code is FailureCode.DOCKERFILE_INVALID
    assert "UTF-8" in failed.value.failure.hint and not failed.value.retryable


async def test_names_that_are_no_text_do_not_get_into_a_plan(fetched: Fetched, clone: Path) -> None:
    odd = {
        b"a\xffb/index.html".decode("utf-8", "surrogateescape"): "",
        "new\nline.py": "",
        "b\x07.py": FLASK,
    }
    plan = await planned(fetched, clone, {**odd, "index.html": ""})
    assert plan.runtime == "static"
    with pytest.raises(DeploymentFailed) as failed:
        await planned(fetched, clone, odd)
    assert failed.value.failure.hint.encode()


async def test_text_that_no_database_takes_is_cleaned(fetched: Fetched, clone: Path) -> None:
    manifest = '{"scripts": {"start": "node a\\u0000b\\ud800.js"}}'
    plan = await planned(fetched, clone, {"package.json": manifest})
    text = json.dumps(plan.as_json(), ensure_ascii=False)
    assert "\\u0000" not in text and "\0" not in text and text.encode()


async def test_a_source_file_that_is_too_large_is_passed_over(fetched: Fetched, clone: Path) -> None:
    huge = FLASK + "#" * bytes_allowed("main.py")
    tree = {"main.py": huge, "app.py": FLASK, "requirements.txt": "gunicorn"}
    assert "app:app" in ((await planned(fetched, clone, tree)).generated or "")


async def test_a_manifest_that_is_too_large_is_refused(fetched: Fetched, clone: Path) -> None:
    with pytest.raises(DeploymentFailed, match=r"package\.json is larger than 2 MiB") as failed:
        await planned(fetched, clone, {"package.json": b" " * (bytes_allowed("package.json") + 1)})
    assert failed.value.failure.code is FailureCode.SOURCE_TOO_LARGE


async def test_a_damaged_copy_is_fetched_anew_later(fetched: Fetched, clone: Path) -> None:
    sha = await fetched({"Dockerfile": "FROM x"})
    lose_objects(clone)
    with pytest.raises(DeploymentFailed) as failed:
        await reader.plan(READING, clone, sha, ["Dockerfile"], OPTIONS)
    assert failed.value.retryable and not isinstance(failed.value, reader.ReaderDied)


# What the process may do -----------------------------------------------------------------------------------------


@asynccontextmanager
async def asking_child() -> AsyncIterator[Child]:
    """A child that has read its request and waits for the content of a file."""
    async with reader.child(READING, READING.cpu_seconds, "plan") as running:
        head = json.dumps({"options": options_as_json(OPTIONS), "paths_bytes": 11}).encode()
        await running.write(head + b"\nDockerfile\0")
        await running.stdout.readuntil(b"\n")
        yield running


async def test_the_process_has_no_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "of the server")
    async with asking_child() as running:
        process = Path(f"/proc/{running.process.pid}")
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        limits = (process / "limits").read_text()
        assert set(status["Uid"].split()) == set(status["Gid"].split()) == {str(NOBODY)}
        assert status["Groups"].split() == []
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
        assert status["NoNewPrivs"].strip() == "1"
        assert (process / "environ").read_bytes() == b""
        assert sorted(file.name for file in (process / "fd").iterdir()) == ["0", "1", "2"]
        assert (process / "cwd").readlink() == Path("/")
        for name, value in (
            ("Max processes", 0),
            ("Max file size", 0),
            ("Max core file size", 0),
            ("Max data size", READING.memory_mb << 20),
            ("Max cpu time", READING.cpu_seconds),
            ("Max open files", 32),
        ):
            line = next(line for line in limits.splitlines() if line.startswith(name))
            assert line.removeprefix(name).split()[0] == str(value), line


async def test_the_process_imports_nothing_of_the_server() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import stackyn_server.buildplan.child.conversation;"
        "print([name for name in sys.modules if name.split('.')[0] in ('pydantic', 'asyncio', 'structlog')"
        " or name.startswith(('stackyn_server.config', 'stackyn_server.source', 'stackyn_server.store'))])"
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(reader, "START", program)
        async with reader.child(READING, 5, "plan") as running:
            assert await running.read(1_000) == b"[]\n"
            await running.expect_success()


CHILD_FOREVER = """
import asyncio
from stackyn_server.config import ReadingSettings
from stackyn_server.source import reader
async def main():
    reader.START = "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    reader.START += "from stackyn_server.buildplan.child.rights import *; "
    reader.START += "give_up_rights(); print(1, flush=True); import signal; signal.pause()"
    async with reader.child(ReadingSettings(), 30, "plan") as running:
        await running.stdout.readline()
        print(running.process.pid, flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""


async def test_the_process_ends_with_a_killed_server() -> None:
    """It waits for nothing that would end with the server: only the parent-death signal does."""
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD_FOREVER, stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    handle = os.pidfd_open(int(await server.stdout.readline()))
    try:
        server.kill()
        await server.wait()
        ended, _, _ = await asyncio.to_thread(select.select, [handle], [], [], 10)
        assert ended, "it outlived the server that started it"
    finally:
        os.close(handle)


# How it ends -----------------------------------------------------------------------------------------------------


async def test_too_much_memory_is_the_files_fault(fetched: Fetched, clone: Path) -> None:
    tree = {"requirements.txt": b"flask\n" * 1_000_000, "app.py": FLASK}
    with pytest.raises(DeploymentFailed, match="48 MiB of memory") as failed:
        await planned(fetched, clone, tree, ReadingSettings(memory_mb=48))
    assert failed.value.failure.code is FailureCode.SOURCE_TOO_LARGE and not failed.value.retryable


async def test_the_loop_goes_on_while_large_files_are_read(fetched: Fetched, clone: Path) -> None:
    hashed = "".join(f"a{number}==1 --hash=sha256:{'0' * 64}\n" for number in range(150_000))
    tree = {"requirements.txt": hashed, "app.py": FLASK}
    commit = await fetched(tree)

    began = time.monotonic()
    async with longest_wait() as waited:
        await reader.plan(READING, clone, commit, tree, OPTIONS)

    assert waited.seconds < (time.monotonic() - began) / 5


SPINS = "while True: pass"
KILLED = "import os; os.kill(os.getpid(), 9)"


async def test_too_much_time_is_the_files_fault(
    fetched: Fetched, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "START", SPINS)
    with pytest.raises(DeploymentFailed, match="1 seconds of processor time") as failed:
        await planned(fetched, clone, {"Dockerfile": "FROM x"}, ReadingSettings(cpu_seconds=1))
    assert failed.value.failure.code is FailureCode.SOURCE_TOO_LARGE and not failed.value.retryable


async def test_a_killed_process_is_worth_another_try(
    fetched: Fetched, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "START", KILLED)
    with pytest.raises(reader.ReaderDied, match="was ended before it was done"):
        await planned(fetched, clone, {"Dockerfile": "FROM x"})


def says(message: object) -> str:
    data = json.dumps(message)
    return f"import sys; sys.stdout.write('{len(data)}\\n' + {data!r}); sys.stdout.flush(); sys.stdin.read()"


PLAN = BuildPlan("dockerfile", ("Because.",), "Dockerfile", None, None).as_json()


@pytest.mark.parametrize(
    "program",
    [
        pytest.param("print('hello')", id="no number"),
        pytest.param("print(10**9)", id="a gigabyte"),
        pytest.param("print('9' * 5000)", id="a long number"),
        pytest.param("while True: print('x' * 999, end='')", id="endless"),
        pytest.param("print(7); print('{')", id="cut off"),
        pytest.param("print(100_000); print('[' * 100_000)", id="nested"),
        pytest.param(says([]), id="a list"),
        pytest.param(says({}), id="nothing"),
        pytest.param(says({"read": "Dockerfile"}), id="a text for paths"),
        pytest.param(says({"read": [1]}), id="a number for a path"),
        pytest.param(says({"read": ["HEAD"]}), id="another object of git"),
        pytest.param(says({"plan": []}), id="a list for a plan"),
        pytest.param(says({"plan": {**PLAN, "port": "80"}}), id="a text for a port"),
        pytest.param(says({"plan": {**PLAN, "reasons": [[]]}}), id="a list for a reason"),
        pytest.param(says({"plan": {**PLAN, "dockerfile": "../../etc/passwd"}}), id="a path outside"),
        pytest.param(says({"plan": {**PLAN, "dockerfile": "/etc/passwd"}}), id="an absolute path"),
        pytest.param(says({"failed": {"code": "NO_SUCH", "message": "", "hint": ""}}), id="an unknown code"),
    ],
)
async def test_an_answer_that_makes_no_sense_is_not_taken(
    fetched: Fetched, clone: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr(reader, "START", program)
    with pytest.raises(reader.ReaderDied):
        await planned(fetched, clone, {"Dockerfile": "FROM x"})


async def test_a_plan_that_makes_sense_is_taken(
    fetched: Fetched, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table above would prove nothing if this failed too."""
    monkeypatch.setattr(reader, "START", says({"plan": PLAN}))
    assert (await planned(fetched, clone, {"Dockerfile": "FROM x"})).as_json() == PLAN


async def test_endless_sentence_is_cut_and_the_repositorys_fault(fetched: Fetched, clone: Path) -> None:
    with pytest.raises(DeploymentFailed, match="there is no setting kkk") as failed:
        await planned(fetched, clone, {"index.html": "", "stackyn.toml": f"{'k' * 1_500_000} = 1"})
    assert failed.value.failure.code is not FailureCode.INTERNAL and not failed.value.retryable


def test_a_plan_that_is_too_long_is_the_repositorys_own_fault() -> None:
    outgoing = io.BytesIO()
    conversation.send(outgoing, {"plan": {"copies": ["é" * 300_000]}})
    size, message = outgoing.getvalue().split(b"\n", 1)
    assert int(size) == len(message) < conversation.MESSAGE_BYTES
    assert json.loads(message)["failed"]["code"] == "SOURCE_TOO_LARGE"


async def test_many_long_paths_are_asked_for_in_several_questions(fetched: Fetched, clone: Path) -> None:
    name = "é" * 120
    package = "/".join(f"{name}{depth}" for depth in range(5))
    sources = {f"{number}/src/main/java/{package}/App.java": "" for number in range(300)}
    plan = await planned(fetched, clone, {**sources, "pom.xml": "<project/>", "Dockerfile": "FROM x"})
    assert plan.runtime == "dockerfile"


async def test_what_one_plan_reads_is_bounded(
    fetched: Fetched, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "START", says({"read": ["Dockerfile"] * (reader.FILES_READ + 1)}))
    with pytest.raises(DeploymentFailed, match="Too many or too large files"):
        await planned(fetched, clone, {"Dockerfile": "FROM x"})
