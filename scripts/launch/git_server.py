"""A git server on loopback: git's own `http-backend` behind a small HTTP server, of the standard library only.

async with GitServer(directory) as server:
    url, commit = await server.publish("shop", {"index.html": "hello"})
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote

CHUNK_BYTES = 65_536


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
        self.stopping = threading.Event()
        self._http: HttpServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """`http://127.0.0.1:<port>`"""
        assert self._http is not None, "the server is not started"
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start_now)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop_now)

    async def publish(self, name: str, tree: Tree | Path, branch: str = "main") -> tuple[str, str]:
        """Commit `tree` (the whole of it) on a branch of the repository `name`; return its URL and the commit id.

        Creates the repository if there is none. An unchanged tree makes no new commit.
        """
        return await asyncio.to_thread(self.publish_now, name, tree, branch)

    def answer(self, request: RequestHandler, path: str, query: str) -> None:
        """Answer a request for `path` of a repository."""
        name = path.partition(".git/")[0].strip("/")
        if self.repository(name).exists():
            request.run_git(path, query)
        else:
            request.send_error(404)

    def start_now(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.stopping.clear()
        self._http = HttpServer(("127.0.0.1", self._port), RequestHandler)
        self._http.owner = self
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.05,), name="git-server", daemon=True
        )
        self._thread.start()

    def stop_now(self) -> None:
        if self._http is None or self._thread is None:
            return
        self.stopping.set()
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


class HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    owner: GitServer

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients may hang up."""


class RequestHandler(BaseHTTPRequestHandler):
    server: HttpServer
    protocol_version = "HTTP/1.1"
    body: bytes | None = None

    def do_GET(self) -> None:
        self.body = None  # the connection may serve several requests
        path, _, query = self.path.partition("?")
        self.server.owner.answer(self, unquote(path), query)

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Keep the output clean."""

    def read_body(self) -> bytes:
        if self.body is None:
            self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return self.body

    def run_git(self, path: str, query: str, *, old_protocol: bool = False) -> None:
        """Answer with what git's `http-backend` says."""
        body = self.read_body()
        environment = {
            **_environment(),
            "GIT_PROJECT_ROOT": str(self.server.owner.directory.resolve()),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": "" if old_protocol else self.headers.get("Git-Protocol", ""),
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
