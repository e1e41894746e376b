"""A deploy as somebody would do it without us, with the same builder: clone, build in a fresh container, pull, run."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
import time
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path

from stackyn_server.config import Settings
from stackyn_server.domain.ids import AppId, DeploymentId, UserId
from stackyn_server.engine.builder.arguments import arguments, control_tar, daemon_configuration
from stackyn_server.engine.builder.base_image_index import BaseImages
from stackyn_server.engine.builder.request import BuildRequest
from tests.server_process import docker

ANSWER_SECONDS = 60
POLL_SECONDS = 0.01
ARCHITECTURE = "amd64"
SECCOMP = resources.files("stackyn_server.engine.builder") / "seccomp.json"
# What every builder container of ours gets too.
SEALED = [
    *("--user", "1001:1001", "--log-driver", "none", "--read-only"),
    *("--cap-drop", "ALL", "--cap-add", "SETUID", "--cap-add", "SETGID"),
    *("--security-opt", f"seccomp={SECCOMP}", "--security-opt", "apparmor=unconfined"),
    *("--security-opt", "systempaths=unconfined"),
    *("--tmpfs", "/tmp:uid=1001,gid=1001,size=64m", "--tmpfs", "/run:uid=1001,gid=1001,size=16m"),
]


@dataclass(slots=True)
class ByHand:
    """One app, deployed again and again. `volume` is the builder's cache; the settings are those of the server."""

    settings: Settings
    folder: Path
    volume: str = field(default_factory=lambda: f"by-hand-{uuid.uuid4().hex[:8]}")
    _serving: str = ""
    _images: list[str] = field(default_factory=list)

    async def deploy(self, url: str, greeting: str) -> float:
        """Return the seconds until the app that was cloned from `url` answers `greeting`."""
        began = time.monotonic()
        clone = self.folder / "clone"
        await _run("git", "clone", "-q", "--depth", "1", url, str(clone))
        await self._build(clone)
        image = await self._pull()
        container = await self._start(image, greeting)
        seconds = time.monotonic() - began
        await self._tidy(container, clone)
        return seconds

    async def remove(self) -> None:
        await docker("rm", "-f", self._serving)
        await docker("rmi", "-f", *self._images)
        await docker("volume", "rm", "-f", self.volume)

    async def _build(self, clone: Path) -> None:
        builds, images = self.settings.builds, self.settings.images
        limits = [
            f"--memory={builds.memory_mb}m",
            f"--cpus={builds.cpu}",
            f"--pids-limit={builds.max_processes}",
        ]
        mounts = ["-v", f"{self.volume}:/var/lib/build", "-v", f"{images.directory}:/oci:ro"]
        context = await _run(
            "tar", "-c", "--exclude=.git", "--transform=s,^\\.,context,", "-C", str(clone), "."
        )
        await _run(
            *(
                "docker",
                "run",
                "--rm",
                "-i",
                *SEALED,
                *limits,
                *mounts,
                "--entrypoint",
                "/usr/local/bin/build",
            ),
            images.builder,
            given=await asyncio.to_thread(self._control) + context,
        )

    def _control(self) -> bytes:
        builds = self.settings.builds
        request = BuildRequest(
            app=AppId(1),
            deployment=DeploymentId(1),
            tenant=UserId(uuid.uuid4()),
            dockerfile="Dockerfile",
            network="",
            memory_mb=builds.memory_mb,
            cpu=builds.cpu,
            max_processes=builds.max_processes,
            tag="",
        )
        words = arguments(
            request, BaseImages.read(self.settings.images.directory).digests, has_registry=False
        )
        return control_tar(words, daemon_configuration(ARCHITECTURE, builds.cache_mb // 2), request)

    async def _pull(self) -> str:
        mountpoint = (await docker("volume", "inspect", "--format", "{{.Mountpoint}}", self.volume)).strip()
        out = Path(mountpoint) / "out"
        (manifest,) = json.loads((out / "index.json").read_text())["manifests"]
        with _registry(out, self.settings.images.directory, manifest) as port:
            image = f"127.0.0.1:{port}/by-hand@{manifest['digest']}"
            await _run("docker", "pull", "-q", image)
        self._images.append(image)
        return image

    async def _start(self, image: str, greeting: str) -> str:
        limits = [f"--memory={64}m", f"--cpus={self.settings.apps.default_cpu}"]
        container = (await _run("docker", "run", "-d", *limits, "-e", "PORT=8080", image)).decode().strip()
        template = "{{.NetworkSettings.IPAddress}}"
        address = (await docker("inspect", "--format", template, container)).strip()
        await asyncio.to_thread(_until_answered, f"http://{address}:8080/", greeting)
        return container

    async def _tidy(self, container: str, clone: Path) -> None:
        """What is done after a visitor has been answered."""
        if self._serving:
            await docker("rm", "-f", self._serving)
        self._serving = container
        await asyncio.to_thread(shutil.rmtree, clone)


@asynccontextmanager
async def by_hand(settings: Settings, folder: Path) -> AsyncIterator[ByHand]:
    """A builder with an empty cache; all that it makes is removed."""
    hands = ByHand(settings, folder)
    try:
        yield hands
    finally:
        await hands.remove()


@contextmanager
def _registry(out: Path, base_images: Path, manifest: dict[str, str]) -> Iterator[int]:
    """Serve the image of a build to the engine: one manifest and its blobs. Yields the port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            digest = self.path.rpartition("/")[2]
            name = digest.removeprefix("sha256:")
            paths = [folder / "blobs/sha256" / name for folder in (base_images, out)]
            content = next((path.read_bytes() for path in paths if name and path.is_file()), b"{}")
            self.send_response(200)
            is_manifest = "/manifests/" in self.path
            self.send_header(
                "Content-Type", manifest["mediaType"] if is_manifest else "application/octet-stream"
            )
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Docker-Content-Digest", digest)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _until_answered(url: str, greeting: str) -> None:
    deadline = time.monotonic() + ANSWER_SECONDS
    while _answer(url) != greeting:
        assert time.monotonic() < deadline, f"{url} does not answer"
        time.sleep(POLL_SECONDS)


def _answer(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


async def _run(*words: str, given: bytes | None = None) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.PIPE if given is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(given)
    assert process.returncode == 0, f"{words}: {(out + err)[-2000:].decode(errors='replace')}"
    return out
