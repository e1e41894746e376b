"""Apps with a release command, and what runs of them."""

from __future__ import annotations

from tests.server_process import ServerProcess, docker
from tests.tiny import DOCKERFILE, Tree, tiny_app

# The engine runs a command in /bin/sh, which finds busybox's other programs by itself.
_WITH_A_SHELL = DOCKERFILE.replace("COPY www /www\n", "COPY www /www\nCOPY busybox /bin/sh\n")


def commanding_app(greeting: str, command: str) -> Tree:
    """An app that answers `greeting`, whose Procfile has `command` run before."""
    return {**app_with_shell(greeting), "Procfile": f"release: {command}\n"}


def app_with_shell(greeting: str) -> Tree:
    """One whose image runs commands of its owner."""
    return tiny_app(greeting, dockerfile=_WITH_A_SHELL)


async def containers_of_commands(server: ServerProcess) -> list[str]:
    """The containers of release commands, ended ones too."""
    mine = f"label=io.stackyn.installation={server.installation}"
    return (await docker("ps", "-aq", "--filter", mine, "--filter", "label=io.stackyn.role=release")).split()
