"""A real git server on loopback: git's own `http-backend` behind a small HTTP server, of the standard library only.

In tests: `async with GitServer(directory) as server: url, sha = await server.publish("shop", {"index.html": "hello"})`.
By hand:  `python -m tests.git_server DIRECTORY --port 8000 --publish shop=FOLDER` serves every `*.git` below DIRECTORY.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote

CHUNK_BYTES = 65_536


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


class Link(str):
    """The target of a symbolic link, as the value of a path in a tree."""


class Submodule(str):
    """The commit id of a submodule, as the value of a path in a tree."""


class Program(bytes):
    """The contents of an executable file, as the value of a path in a tree."""


Tree = Mapping[str, bytes | str]


class GitServer:
    """Serves the bare repositories below `directory` on 127.0.0.1; `port` 0 takes a free one."""

    def __init__(self, directory: Path, port: int = 0) -> None:
        self.directory, self._port = directory, port
        self.modes: dict[str, Mode] = {}
        self.lfs: dict[str, bytes] = {}  # contents by SHA-256, for every repository
        self.requests: list[str] = []
        self._asked = threading.Condition()
        self._http: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """`http://127.0.0.1:<port>`"""
        assert self._http is not None, "the server is not started"
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    async def start(self) -> None:
        await asyncio.to_thread(self.start_now)

    async def stop(self) -> None:
        await asyncio.to_thread(self.stop_now)

    async def __aenter__(self) -> GitServer:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def publish(self, name: str, tree: Tree | Path, branch: str = "main") -> tuple[str, str]:
        """Commit `tree` (the whole of it) on a branch of the repository `name`; return its URL and the commit id.

        The repository is made when there is none; a tree that is there already makes no new commit.
        """
        return await asyncio.to_thread(self.publish_now, name, tree, branch)

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

    def start_now(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._http = _Server(("127.0.0.1", self._port), _Handler)
        self._http.owner, self._http.stopping = self, threading.Event()
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.05,), name="git-server", daemon=True
        )
        self._thread.start()

    def stop_now(self) -> None:
        if self._http is None or self._thread is None:
            return
        self._http.stopping.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        self._http = self._thread = None

    def repository(self, name: str) -> Path:
        return self.directory / f"{name}.git"

    def publish_now(self, name: str, tree: Tree | Path, branch: str = "main") -> tuple[str, str]:
        self.create_now(name, branch)
        old = self.git_now(name, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}").strip()
        files = list(_files_of(tree) if isinstance(tree, Path) else tree.items())
        self.git_now(
            name, "fast-import", "--quiet", "--force", "--date-format=now", stdin=_import_stream(files, old)
        )
        new = self.git_now(name, "rev-parse", "refs/stackyn/new").strip()
        trees = [self.git_now(name, "rev-parse", f"{sha}^{{tree}}") for sha in (old, new) if sha]
        if len(trees) == 2 and trees[0] == trees[1]:
            new = old
        self.git_now(name, "update-ref", f"refs/heads/{branch}", new)
        self.git_now(name, "update-ref", "-d", "refs/stackyn/new")
        return f"{self.url if self._http else ''}/{name}.git", new

    def create_now(self, name: str, branch: str = "main", object_format: str = "sha1") -> Path:
        """Make an empty repository, with no branch at all."""
        path = self.repository(name)
        if not (path / "HEAD").exists():
            path.mkdir(parents=True, exist_ok=True)
            self.git_now(
                name,
                "init",
                "--quiet",
                "--bare",
                f"--initial-branch={branch}",
                f"--object-format={object_format}",
            )
        return path

    def git_now(self, name: str, *arguments: str, stdin: bytes = b"") -> str:
        """Run git on one of the repositories and return what it said."""
        done = subprocess.run(
            ["git", f"--git-dir={self.repository(name)}", *arguments],
            input=stdin, capture_output=True, check=False, env=_environment(),
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"git {arguments[0]} failed: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode("utf-8", "surrogateescape")


def _environment() -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
    }


def _files_of(folder: Path) -> Iterator[tuple[str, bytes | str]]:
    """Walk a folder without caches and dependencies that nobody would commit."""
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if {"__pycache__", "node_modules", ".git", ".venv"} & set(relative.parts):
            continue
        if path.is_symlink():
            yield str(relative), Link(path.readlink())
        elif path.is_file():
            content = path.read_bytes()
            yield str(relative), Program(content) if os.access(path, os.X_OK) else content


def _import_stream(files: list[tuple[str, bytes | str]], parent: str) -> bytes:
    """Write one commit in the language of git-fast-import."""
    out = bytearray(b"commit refs/stackyn/new\ncommitter Tests <tests@stackyn.test> now\n")
    out += b"data 6\ncommit\n"
    if parent:
        out += f"from {parent}\ndeleteall\n".encode()
    for path, content in files:
        quoted = (
            path.replace("\\", "\\\\")
            .replace('"', '\\"')
            .replace("\n", "\\n")
            .encode("utf-8", "surrogateescape")
        )
        if isinstance(content, Submodule):
            out += b'M 160000 %s "%s"\n' % (content.encode(), quoted)
            continue
        mode = (
            b"120000"
            if isinstance(content, Link)
            else b"100755"
            if isinstance(content, Program)
            else b"100644"
        )
        data = content.encode() if isinstance(content, str) else content
        out += b'M %s inline "%s"\ndata %d\n%s\n' % (mode, quoted, len(data), data)
    return bytes(out)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    owner: GitServer
    stopping: threading.Event

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Keep test output clean; `GitServer.requests` has what was asked."""

    def _answer(self) -> None:
        path, _, query = self.path.partition("?")
        self.server.owner.note(f"{self.command} {self.path}")
        name, found, rest = unquote(path).partition(".git/")
        if not found:
            # As some hosts do it: an address without .git redirects to the one with it.
            base = path.removesuffix("/info/refs")
            there = self.server.owner.repository(base.strip("/")).exists()
            self._plain(
                301, location=f"{self.server.owner.url}{base}.git/info/refs?{query}"
            ) if there else self._plain(404)
            return
        mode = self.server.owner.modes.get(name.strip("/"), Mode.SERVE)
        if rest.startswith("info/lfs/"):
            self._lfs(rest.removeprefix("info/lfs/"))
        elif mode is Mode.HANG or (
            mode is Mode.STALL and rest == "git-upload-pack" and self._asks_for_pack()
        ):
            self.server.owner.note(f"{mode.name} {self.path}")
            self.server.stopping.wait()
            self.close_connection = True
        elif mode is Mode.REDIRECT:
            self._plain(302, location=f"http://localhost:1/{name}.git/{rest}?{query}")
        elif mode is Mode.MOVED:
            self._plain(301, location=f"{self.server.owner.url}/moved.git/{rest}?{query}")
        elif mode is Mode.PRIVATE:
            self._plain(401)
        elif mode is Mode.BROKEN:
            self._plain(500)
        elif mode is Mode.NOT_GIT:
            self._plain(200)
        elif not self.server.owner.repository(name.strip("/")).exists():
            self._plain(404)
        else:
            self._git(unquote(path), query, old=mode is Mode.OLD)

    def _asks_for_pack(self) -> bool:
        """True unless it is the `ls-refs` request of protocol version 2, which is a POST too."""
        self._request_body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return b"command=ls-refs" not in self._request_body

    def _lfs(self, rest: str) -> None:
        """Git LFS: the batch API, and the objects themselves."""
        there = self.server.owner.lfs
        if self.command == "GET":
            content = there[rest.rpartition("/")[2]]
        else:
            wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["objects"]
            href = f"{self.server.owner.url}{self.path.removesuffix('/batch')}"
            content = json.dumps(
                {
                    "objects": [
                        {**one, "actions": {"download": {"href": f"{href}/{one['oid']}"}}}
                        if one["oid"] in there
                        else {**one, "error": {"code": 404, "message": "Object does not exist"}}
                        for one in wanted
                    ]
                }
            ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.git-lfs+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _plain(self, status: int, location: str = "") -> None:
        body = b"<!doctype html>\n<title>A web page</title>\n<p>hello\n" if status == 200 else b""
        self.send_response(status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        if location:
            self.send_header("Location", location)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def _git(self, path: str, query: str, *, old: bool) -> None:
        body = getattr(self, "_request_body", None)
        if body is None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        environment = {
            **_environment(),
            "GIT_PROJECT_ROOT": str(self.server.owner.directory.resolve()),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": "" if old else self.headers.get("Git-Protocol", ""),
        }
        with subprocess.Popen(
            ["git", "http-backend"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        ) as backend:
            assert backend.stdin is not None and backend.stdout is not None
            backend.stdin.write(body)
            backend.stdin.close()
            status, headers = 200, []
            while line := backend.stdout.readline().strip():
                key, _, value = line.decode().partition(":")
                if key.lower() == "status":
                    status = int(value.split()[0])
                else:
                    headers.append((key, value.strip()))
            self.send_response(status)
            for key, value in headers:
                self.send_header(key, value)
            # The length is not known, so the answer ends with the connection.
            self.send_header("Connection", "close")
            self.end_headers()
            try:
                while data := backend.stdout.read(CHUNK_BYTES):
                    self.wfile.write(data)
            finally:
                backend.kill()
        self.close_connection = True


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Serve the bare git repositories below a directory over HTTP."
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument(
        "--publish", action="append", default=[], metavar="NAME=FOLDER",
        help="commit a folder to the repository NAME first",
    )  # fmt: skip
    options = parser.parse_args()
    server = GitServer(options.directory, options.port)
    server.start_now()
    for publication in options.publish:
        name, _, folder = publication.partition("=")
        url, sha = server.publish_now(name, Path(folder))
        print(f"{url} {sha}", flush=True)
    print(f"serving {options.directory} at {server.url}", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        server.stop_now()


if __name__ == "__main__":
    main()
