"""What an app tries from inside its container, as root there: a shell command for each attempt, which ends with 0 when
the attacker has what they wanted.

Nothing is sent to an address that isn't the tests' own; what is opened for writing is not written to.
"""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from stackyn_server import config
from stackyn_server.engine import containers, firewall
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_spec import ContainerSpec
from tests.clean_up import remove_firewall_rules
from tests.engine.own_host import listening_port, own_host
from tests.engine.parts import run_inside, until_answers
from tests.hostile.attempts import Attempt, Got, Open
from tests.patience import within

SECONDS = 4  # for one attempt
SEPARATOR = "=next="

Spec = Callable[..., ContainerSpec]


@dataclass(frozen=True)
class ContainerStage:
    """What each command ended with in one container."""

    results: Mapping[str, Got]
    opened: Mapping[str, Mapping[str, Got]]


class Command(NamedTuple):
    """`refused` is in what the kernel or the engine says to it."""

    name: str
    shell: str
    refused: str
    open: str


RULES, NEIGHBOUR, RIGHTS, HOST, ROOMY = (
    "without the firewall's rules",
    "in the neighbour's own network",
    "with the rights that apps don't get",
    "with the processes and the engine's socket of this machine",
    "with higher limits",
)
ASK = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {at} | grep {word}"

NETWORK = [
    Command(f"connection to {what}", ASK.replace("{at}", at), "", RULES)
    for what, at in {
        "an address of the private network": "{private} 80",
        "an address of the shared network of carriers": "{shared} 80",
        "a link-local address, as metadata services have": "{link_local} 80",
        "a service of this machine by its bridge": "{gateway} {port}",
        "a service of this machine by its public address": "{here} {port}",
    }.items()
]
NEIGHBOURS = [
    Command(
        "another tenant's app on the same bridge", ASK.replace("{at}", "{neighbour} 8080"), "", NEIGHBOUR
    ),
]
KERNEL = [
    Command("mounting a file system", "mkdir -p /tmp/m && mount -t tmpfs none /tmp/m", "permi", RIGHTS),
    Command("mounting /proc anew", "mkdir -p /tmp/p && mount -t proc proc /tmp/p", "permi", RIGHTS),
    Command("mounting control groups", "mkdir -p /tmp/c && mount -t {cgroup} none /tmp/c", "permi", RIGHTS),
    Command("making a device", "rm -f /tmp/d && mknod /tmp/d c 1 1", "permitted", RIGHTS),
    Command("reading the kernel's timers", "grep -m 1 'Timer List' /proc/timer_list", "", RIGHTS),
    Command("reading the kernel's keys", "grep -m 1 . /proc/keys", "", RIGHTS),
    Command("writing kernel parameters", ": >> /proc/sys/kernel/core_pattern", "ead-only", RIGHTS),
    Command("writing where interrupts go", ": >> /proc/irq/default_smp_affinity", "ead-only", RIGHTS),
    Command("writing to /sys", ": >> /sys/kernel/mm/transparent_hugepage/enabled", "ead-only", RIGHTS),
    Command("raising one's own limits", ": >> /sys/fs/cgroup/{limit}", "ead-only", RIGHTS),
    Command("a name space in which one is root", "unshare -U -r true", "permitted", RIGHTS),
    Command("a mount name space", "unshare -m true", "permitted", RIGHTS),
    Command("another root of the file system", "chroot / true", "permitted", RIGHTS),
    Command("another name of the machine", "hostname evil", "permitted", RIGHTS),
    Command("another address", "ip addr add 192.0.2.77/32 dev lo", "permitted", RIGHTS),
    Command("packets of any kind", "arping -c 1 -w 1 -I eth0 {gateway}", "permitted", RIGHTS),
    Command("the kernel's log", "dmesg | head -n 1 | grep -c .", "permitted", RIGHTS),
    Command(
        "a core dump, which holds the environment",
        "mkdir -p /tmp/k && cd /tmp/k && ulimit -c unlimited; [ $(ulimit -c) = unlimited ]",
        "permitted",
        RIGHTS,
    ),
    Command("programs that give rights", "grep -q 'NoNewPrivs:.0' /proc/self/status", "", RIGHTS),
    Command("system calls that are filtered", "grep -q 'Seccomp:.0' /proc/self/status", "", RIGHTS),
]
MACHINE = [
    # In brackets, so that the pattern doesn't find itself.
    Command("processes of this machine", "grep -l '[{mark_begins}]{mark_goes_on}' /proc/*/cmdline", "", HOST),
    Command("name spaces of a process of this machine", "nsenter -t {pid} -m true", "", HOST),
    Command("files of this machine", "grep {word} /proc/{pid}/root{file}", "", HOST),
    Command("the engine's socket", "test -S /var/run/docker.sock", "", HOST),
]
LIMITS = [
    Command(
        "more memory than its limit", "head -c 60m /dev/zero | tail -c 60m | wc -c | grep 62914560", "", ROOMY
    ),
    Command(
        "more processes than its limit",
        "n=0; while [ $n -lt 90 ]; do sleep 3 & n=$((n+1)); done; [ $(ls -d /proc/[0-9]* | wc -l) -gt 80 ]",
        "",
        ROOMY,
    ),
]
COMMANDS = [*NETWORK, *NEIGHBOURS, *KERNEL, *MACHINE, *LIMITS]


def attempts() -> list[Attempt[ContainerStage]]:
    """The rows of the table. Trying is over when the stage is set up: one container tries everything."""

    def attempt(command: Command) -> Attempt[ContainerStage]:
        async def in_the_container(stage: ContainerStage) -> Got:
            return stage.results[command.name]

        async def where_it_is_open(stage: ContainerStage) -> Got:
            return stage.opened[command.open][command.name]

        return Attempt(
            command.name, in_the_container, command.refused, Open(command.open, unchanged), where_it_is_open
        )

    return [attempt(command) for command in COMMANDS]


@asynccontextmanager
async def unchanged(stage: ContainerStage) -> AsyncIterator[ContainerStage]:
    yield stage


@asynccontextmanager
async def container_stage(engine: Engine, spec: Spec) -> AsyncIterator[ContainerStage]:
    """Everything is tried in a container of ours with the rules in place, then where it is open."""
    async with AsyncExitStack() as stack:
        host = await stack.enter_async_context(own_host())
        port = await stack.enter_async_context(listening_port(host.word))
        mark, pid, file = stack.enter_context(_of_this_machine(host.word))
        neighbour_spec = spec(command=f"nc -ll -p 8080 -e echo {host.word}")
        await remove_firewall_rules(engine)
        stack.push_async_callback(remove_firewall_rules, engine)
        neighbour = await containers.start(engine, neighbour_spec)
        attacker = await containers.start(
            engine,
            spec(capabilities=config.AppsSettings().capabilities, memory_mb=24, max_processes=64),
        )
        await until_answers(neighbour_spec.address, 8080)
        values = {
            "word": host.word,
            "private": str(host.private),
            "shared": str(host.shared),
            "link_local": str(host.link_local),
            "here": str(host.here),
            "port": str(port),
            "gateway": str(neighbour_spec.bridge.gateway),
            "neighbour": str(neighbour_spec.address),
            "mark_begins": mark[0],
            "mark_goes_on": mark[1:],
            "pid": str(pid),
            "file": file,
            **await asyncio.to_thread(_control_groups),
        }
        await host.check()
        opened = {RULES: await _run_all(engine, attacker, NETWORK, values)}
        async with within(20):
            while await firewall.restrict_apps(engine, []):
                continue
        results = await _run_all(engine, attacker, COMMANDS, values)
        for words, options in _open_containers(neighbour, engine).items():
            commands = [command for command in COMMANDS if command.open == words]
            async with _open_container(engine, neighbour_spec.image, options) as container:
                opened[words] = await _run_all(engine, container, commands, values)
        yield ContainerStage(results, opened)


# Not `Privileged`, which wants every right that the kernel knows: this machine may lack one itself.
ALL_RIGHTS: dict[str, object] = {
    "CapAdd": [
        *("DAC_READ_SEARCH", "MKNOD", "NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_CHROOT", "SYS_PTRACE"),
        *("SYS_RAWIO", "SYSLOG"),
    ],
    "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined"],
    "MaskedPaths": [],
    "ReadonlyPaths": [],
}
# A file system that is mounted for reading only may be mounted anew.
WRITABLE = (
    "for place in /sys $(grep -o '/sys/fs/cgroup[^ ]*' /proc/mounts); do "
    "mount -o remount,rw $place || mount -o remount,bind,rw $place; done"
)


def _open_containers(neighbour: str, engine: Engine) -> dict[str, dict[str, object]]:
    """`HostConfig` of the containers that are open."""
    socket_of_engine = f"{engine.settings.socket}:/var/run/docker.sock"
    return {
        NEIGHBOUR: {"NetworkMode": f"container:{neighbour}"},
        RIGHTS: ALL_RIGHTS,
        HOST: {**ALL_RIGHTS, "PidMode": "host", "Binds": [socket_of_engine]},
        ROOMY: {"Memory": 256 << 20, "PidsLimit": 400},
    }


@asynccontextmanager
async def _open_container(engine: Engine, image: str, options: Mapping[str, object]) -> AsyncIterator[str]:
    body = {"Image": image, "Cmd": ["/bin/sleep", "600"], "HostConfig": dict(options)}
    created = await engine.request("POST", "containers/create", body=body)
    try:
        await engine.request("POST", f"containers/{created['Id']}/start")
        await run_inside(engine, created["Id"], "/bin/busybox", "sh", "-c", WRITABLE)
        yield str(created["Id"])
    finally:
        await engine.request("DELETE", f"containers/{created['Id']}?force=true&v=true")


async def _run_all(
    engine: Engine, container: str, commands: list[Command], values: Mapping[str, str]
) -> dict[str, Got]:
    """Run each command in a shell of its own, one after another, in one `exec`."""
    script = "".join(
        f"busybox timeout {SECONDS} sh -c '{_quoted(command.shell, values)}' 2>&1; echo \"{SEPARATOR}$?\"\n"
        for command in commands
    )
    _, text = await run_inside(engine, container, "/bin/busybox", "sh", "-c", script)
    parts = text.replace("\r", "").split(SEPARATOR)
    assert len(parts) == len(commands) + 1, text
    answers = {}
    for number, command in enumerate(commands):
        code, _, _ = parts[number + 1].partition("\n")
        said = parts[number] if number == 0 else parts[number].partition("\n")[2]
        answers[command.name] = Got(code.strip() == "0", said.strip() or f"exit code {code.strip()}")
    return answers


def _quoted(shell: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        shell = shell.replace("{" + name + "}", value)
    return shell.replace("'", "'\\''")


def _control_groups() -> dict[str, str]:
    """The kind of file system, and the file of the memory limit in it, for the version that this machine has."""
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return {"cgroup": "cgroup2", "limit": "memory.max"}
    return {"cgroup": "cgroup -o memory", "limit": "memory/memory.limit_in_bytes"}


@contextmanager
def _of_this_machine(word: str) -> Iterator[tuple[str, int, str]]:
    """A process with a mark on its command line, and a file that holds the word."""
    mark = secrets.token_hex(8)
    with tempfile.NamedTemporaryFile("w", prefix="stackyn-hostile-") as file:
        file.write(word)
        file.flush()
        process = subprocess.Popen(["/bin/sh", "-c", "read wait", mark], stdin=subprocess.PIPE)
        try:
            yield mark, process.pid, file.name
        finally:
            process.kill()
            process.communicate()
