"""The whole room again with a current engine, beside the host's and in a network namespace of its own (two engines in
one namespace share the names of their iptables chains).

`STACKYN_CURRENT_ENGINE` names a folder whose `bin` has dockerd, containerd, its shim, runc and docker-init, as
`scripts/current-engine` makes it (and `scripts/test --full` has it made). Needs root.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.own_engine import copy_builder
from tests.patience import patient

FOLDER = Path(os.environ.get("STACKYN_CURRENT_ENGINE", "/var/lib/stackyn-setup/current-engine"))
HOSTILE_CONTAINER = Path(__file__).parents[1] / "hostile" / "test_container.py"
START_SECONDS, STOP_SECONDS, SUITE_SECONDS = 60, 60, 600

# It would take the containerd of the machine's own engine, which sees none of its mounts, for one to work with.
ALONE = "ip link set lo up; [ ! -d /run/containerd ] || mount -t tmpfs none /run/containerd"

VARIANTS = {
    "overlay2": ({"features": {"containerd-snapshotter": False}}, {}),
    "containerd-store-and-api-1.44": (
        {"features": {"containerd-snapshotter": True}},
        {"DOCKER_MIN_API_VERSION": "1.44"},
    ),
}


@pytest.mark.full
@pytest.mark.timeout(START_SECONDS + SUITE_SECONDS + STOP_SECONDS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_engine_tests_pass_with_a_current_engine(variant: str) -> None:
    with tempfile.TemporaryDirectory() as folder, _engine(variant, Path(folder)) as (socket, pid):
        suite = subprocess.run(
            [
                *("nsenter", f"--net=/proc/{pid}/ns/net", sys.executable, "-m", "pytest", "-m", "not full"),
                *("-p", "no:cacheprovider", str(Path(__file__).parent), str(HOSTILE_CONTAINER)),
            ],
            env={**os.environ, "STACKYN_TEST_ENGINE_SOCKET": str(socket)},
            timeout=patient(SUITE_SECONDS),
            capture_output=True,
            text=True,
            check=False,
        )

    assert suite.returncode == 0, suite.stdout[-10_000:]


@contextmanager
def _engine(variant: str, folder: Path) -> Iterator[tuple[Path, int]]:
    """Run an engine with everything of its own below `folder`, its mounts too, and stop just that one."""
    settings, environment = VARIANTS[variant]
    (folder / "daemon.json").write_text(json.dumps(settings))
    socket, log = folder / "docker.sock", folder / "log"
    command = ["unshare", "--net", "--mount", "sh", "-c", f'{ALONE}; exec "$@"', "sh", "dockerd"]
    command += [
        f"--config-file={folder}/daemon.json",
        f"--data-root={folder}/data",
        f"--exec-root={folder}/exec",
    ]
    command += [f"--pidfile={folder}/pid", f"--host=unix://{socket}"]
    path = f"{FOLDER}/bin:{os.environ['PATH']}"
    with log.open("w") as output:
        engine = subprocess.Popen(
            command, env={**os.environ, **environment, "PATH": path}, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + patient(START_SECONDS)
        while "API listen on" not in log.read_text():
            assert engine.poll() is None and time.monotonic() < deadline, log.read_text()[-4000:]
            time.sleep(0.1)
        copy_builder(socket)
        yield socket, engine.pid
    finally:
        engine.terminate()
        engine.wait(STOP_SECONDS)
