"""The git server of `scripts/launch` for tests: it also misbehaves on demand, serves Git LFS and records requests.

In tests: `async with GitServer(directory) as server: url, sha = await server.publish("shop", {"index.html": "hello"})`.
"""

from __future__ import annotations

import asyncio
import json
import threading
from enum import Enum, auto
from pathlib import Path

from scripts.launch import git_server
from scripts.launch.git_server import Link, Program, RequestHandler, Submodule, Tree

__all__ = ["GitServer", "Link", "Mode", "Program", "Submodule", "Tree"]


class Mode(Enum):
    """How the server behaves towards one repository."""

    SERVE = auto()
    OLD = auto()  # protocol version 0, which gives out branch tips only
    HANG = auto()  # takes the request and never answers
    STALL = auto()  # gives the references, then never the pack
    REDIRECT = auto()  # to another host
    MOVED = auto()  # for good, to the repository `moved` of the same server
    PRIVATE = auto()  # asks for a password
    BROKEN = auto()  # 500
    NOT_GIT = auto()  # a web page


class GitServer(git_server.GitServer):
    def __init__(self, directory: Path, port: int = 0) -> None:
        super().__init__(directory, port)
        self.modes: dict[str, Mode] = {}
        self.lfs: dict[str, bytes] = {}  # contents by SHA-256, for every repository
        self.requests: list[str] = []
        self._asked = threading.Condition()

    async def asked(self, text: str, timeout: float = 20) -> None:
        """Wait until a request with `text` in its line has come, or raise `TimeoutError`. One that is never answered
        is noted again with its mode as the method: `STALL /app.git/git-upload-pack`."""
        if not await asyncio.to_thread(self._wait_for_request, text, timeout):
            raise TimeoutError(f"nobody asked for {text}; asked were {self.requests}")

    def _wait_for_request(self, text: str, timeout: float) -> bool:
        with self._asked:
            return self._asked.wait_for(lambda: any(text in request for request in self.requests), timeout)

    def note(self, request: str) -> None:
        with self._asked:
            self.requests.append(request)
            self._asked.notify_all()

    def answer(self, request: RequestHandler, path: str, query: str) -> None:
        self.note(f"{request.command} {request.path}")
        name, separator, rest = path.partition(".git/")
        name = name.strip("/")
        mode = self.modes.get(name, Mode.SERVE)
        if not separator:
            # As some hosts do it: an address without .git redirects to the one with it.
            base = path.removesuffix("/info/refs")
            if self.repository(base.strip("/")).exists():
                _answer(request, 301, location=f"{self.url}{base}.git/info/refs?{query}")
            else:
                _answer(request, 404)
        elif rest.startswith("info/lfs/"):
            self._answer_lfs(request, rest.removeprefix("info/lfs/"))
        elif mode is Mode.HANG or (
            mode is Mode.STALL and rest == "git-upload-pack" and _asks_for_pack(request)
        ):
            self.note(f"{mode.name} {request.path}")
            self.stopping.wait()
            request.close_connection = True
        elif mode is Mode.REDIRECT:
            _answer(request, 302, location=f"http://localhost:1/{name}.git/{rest}?{query}")
        elif mode is Mode.MOVED:
            _answer(request, 301, location=f"{self.url}/moved.git/{rest}?{query}")
        elif mode in _STATUS:
            _answer(request, _STATUS[mode])
        elif not self.repository(name).exists():
            _answer(request, 404)
        else:
            request.run_git(path, query, old_protocol=mode is Mode.OLD)

    def _answer_lfs(self, request: RequestHandler, rest: str) -> None:
        """Git LFS: the batch API, and the objects themselves."""
        if request.command == "GET":
            content = self.lfs[rest.rpartition("/")[2]]
        else:
            objects = json.loads(request.read_body())["objects"]
            href = f"{self.url}{request.path.removesuffix('/batch')}"
            content = json.dumps(
                {
                    "objects": [
                        {**item, "actions": {"download": {"href": f"{href}/{item['oid']}"}}}
                        if item["oid"] in self.lfs
                        else {**item, "error": {"code": 404, "message": "Object does not exist"}}
                        for item in objects
                    ]
                }
            ).encode()
        request.send_response(200)
        request.send_header("Content-Type", "application/vnd.git-lfs+json")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)


_STATUS = {Mode.PRIVATE: 401, Mode.BROKEN: 500, Mode.NOT_GIT: 200}


def _asks_for_pack(request: RequestHandler) -> bool:
    """True unless it is the `ls-refs` request of protocol version 2, which is a POST too."""
    return b"command=ls-refs" not in request.read_body()


def _answer(request: RequestHandler, status: int, location: str = "") -> None:
    body = b"<!doctype html>\n<title>A web page</title>\n<p>hello\n" if status == 200 else b""
    request.send_response(status)
    request.send_header("Content-Type", "text/html")
    request.send_header("Content-Length", str(len(body)))
    if location:
        request.send_header("Location", location)
    if status == 401:
        request.send_header("WWW-Authenticate", 'Basic realm="git"')
    request.end_headers()
    request.wfile.write(body)
    request.close_connection = True
