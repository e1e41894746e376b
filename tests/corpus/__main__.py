"""`python -m tests.corpus --folder DIR | --railpack GIT_DIR [--only NAME]… [--out FILE]
[--logs DIR]`: deploy each, print a table.

A row: name, verdict, status, failure code, seconds, first sentence. The verdict is `pass`; `loose`, where only version
numbers differ; `built`, where it was built and did not do as expected; or `fail`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from stackyn_server.engine.http_probe import ACCEPT
from tests.corpus.cases import Case, Corpus, without_versions
from tests.git_server import GitServer
from tests.server_process import ServerProcess, running

LIMIT_SECONDS = 900
MEMORY_MB = 1024
POLL_SECONDS = 0.5
# A server as an operator would run it, with room for large builds.
TABLES: dict[str, dict[str, object]] = {
    "builds": {"memory_mb": 4096, "cpu": 2.0, "concurrency": 1},
    "apps": {"default_memory_mb": MEMORY_MB, "default_disk_mb": 4096, "default_cpu": 1.0},
    "probe": {"steady_seconds": 1},
    "deadlines": {"probing": 60, "switching": 30, "building": 900},
    "retries": {"attempts": 2},
    # Else what is beyond a share of the caches is removed between any two builds, in the seconds of a test.
    "reconcile": {"garbage_seconds": 300},
}


async def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="a folder whose folders are repositories")
    parser.add_argument("--railpack", type=Path, help="a bare repository with Railpack's examples")
    parser.add_argument("--only", action="append", default=[], help="names that are deployed; else all")
    parser.add_argument("--out", type=Path, help="file to which the rows are added as they come")
    parser.add_argument(
        "--logs", type=Path, help="folder for the failure and the logs of each that does not pass"
    )
    chosen = parser.parse_args()
    corpus = Corpus(chosen.folder, chosen.railpack)
    verdicts: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with GitServer(Path(folder)) as git, running(**TABLES) as server:
            for number, case in enumerate(corpus.cases()):
                if chosen.only and case.name not in chosen.only:
                    continue
                row = await deployed(server, git, corpus, case, number, chosen.logs)
                verdicts[row[1]] = verdicts.get(row[1], 0) + 1
                line = "\t".join(row)
                print(line, flush=True)
                if chosen.out is not None:
                    with chosen.out.open("a") as out:
                        out.write(f"{line}\n")
    print(", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items())), file=sys.stderr)


async def deployed(
    server: ServerProcess, git: GitServer, corpus: Corpus, case: Case, number: int, logs: Path | None
) -> list[str]:
    url, _ = await git.publish(case.name, await asyncio.to_thread(corpus.tree, case))
    began = time.monotonic()
    variables = [{"key": key, "value": value} for key, value in case.variables.items()]
    settings = {"slug": f"case-{number}", "memory_mb": MEMORY_MB, "env_vars": variables, **case.settings}
    app, deployment = await server.create(url, case.name, **settings)
    try:
        view = await ended(server, deployment, began)
        verdict, saw = await judged(server, case, settings["slug"], deployment, view)
        failure = view.get("failure") or {}
        if logs is not None and verdict != "pass":
            log_texts = await server.api("GET", f"/api/v1/deployments/{deployment}/logs", expect=200)
            sections = (f"{key}:\n{text}\n" for key, text in {**failure, **log_texts}.items() if text)
            (logs / f"{case.name}.log").write_text("\n".join(sections))
        took = f"{time.monotonic() - began:.0f}"
        message = str(failure.get("message") or saw).replace("\t", " ").replace("\n", " ")[:200]
        return [case.name, verdict, view["status"], str(failure.get("code") or "-"), took, message]
    finally:
        await server.api("DELETE", f"/api/v1/apps/{app}", expect=200)


async def ended(server: ServerProcess, deployment: int, began: float) -> dict[str, Any]:
    while True:
        view: dict[str, Any] = await server.api("GET", f"/api/v1/deployments/{deployment}", expect=200)
        if view["status"] not in ("pending", "building") or time.monotonic() - began > LIMIT_SECONDS:
            return view
        await asyncio.sleep(POLL_SECONDS)


async def judged(
    server: ServerProcess, case: Case, slug: str, deployment: int, view: dict[str, Any]
) -> tuple[str, str]:
    """Return the verdict and what was seen."""
    failure = view.get("failure") or {}
    code = str(failure.get("code") or "")
    if case.failure:
        is_right = view["status"] == "failed" and case.failure in json.dumps(failure, ensure_ascii=False)
        return ("pass" if is_right else "fail"), ""
    if case.output:
        logs = await server.api("GET", f"/api/v1/deployments/{deployment}/logs", expect=200)
        text = "\n".join(str(logs.get(key) or "") for key in ("build_log", "runtime_log", "error_message"))
        text += str(failure.get("evidence") or "")
        if view["status"] != "running" and not code.startswith("APP_"):
            return "fail", ""
        if all(expected in text for expected in case.output):
            return "pass", "output"
        is_loose = all(without_versions(expected) in without_versions(text) for expected in case.output)
        return ("loose" if is_loose else "built"), "output"
    if view["status"] != "running":
        return ("built" if code.startswith("APP_") else "fail"), ""
    status, body = await server.visit(slug, case.path, accept=ACCEPT)
    is_right = (status < 400 if case.status is None else status == case.status) and case.text in body
    return ("pass" if status and is_right else "built"), f"{status} {body.strip()[:80]!r}"


if __name__ == "__main__":
    asyncio.run(main())
