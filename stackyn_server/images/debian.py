"""Make a Debian root file system with debootstrap, from Debian's packages only."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

from stackyn_server.images.host_commands import CommandFailed, run_command

_USUAL_MIRRORS = {
    "Debian": "http://deb.debian.org/debian",
    "Debian-Security": "http://deb.debian.org/debian-security",
}
_CREDENTIAL = re.compile(r'//[^/@"]+@')
_FETCH_SETTING = re.compile(r"Acquire::(Check-|https?::)")
# Applies to packages that are installed later, too.
_LEFT_OUT = """\
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/man/*
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
"""
_NO_SERVICES = "#!/bin/sh\nexit 101\n"
_EMPTIED = ("var/lib/apt/lists", "var/cache/apt", "debootstrap", "dev")


async def make_root(suite: str, work: Path) -> Path:
    """Make the root file system of a suite below `work` and return it as a tar. Needs root. Raises `CommandFailed`."""
    tree = work / "root"
    mirror, security = await _mirror("Debian", suite), await _mirror("Debian-Security", suite)
    await run_command("debootstrap", "--variant=minbase", "--include=ca-certificates", suite, tree, mirror)
    sources = [f"deb {mirror} {suite} main", f"deb {mirror} {suite}-updates main"]
    sources += [f"deb {security} {suite}-security main"]
    fetching = await _fetch_settings()
    await asyncio.to_thread(_settle, tree, "\n".join(sources) + "\n", fetching)
    target = work / "root.tar"
    await run_command("tar", "--create", "--numeric-owner", "--file", target, "--directory", tree, ".")
    await asyncio.to_thread(shutil.rmtree, tree)
    return target


def _settle(tree: Path, sources: str, fetching: str) -> None:
    (tree / "etc/apt/sources.list").write_text(sources)
    if fetching:
        (tree / "etc/apt/apt.conf.d/90host").write_text(fetching)
    (tree / "etc/dpkg/dpkg.cfg.d/stackyn").write_text(_LEFT_OUT)
    policy = tree / "usr/sbin/policy-rc.d"
    policy.write_text(_NO_SERVICES)
    policy.chmod(0o755)
    for name in ("doc", "man", "info", "locale"):
        for file in (tree / "usr/share" / name).rglob("*"):
            if (file.is_file() or file.is_symlink()) and file.name != "copyright":
                file.unlink()
    for name in _EMPTIED:
        folder = tree / name
        for inside in folder.iterdir() if folder.is_dir() else ():
            shutil.rmtree(inside) if inside.is_dir() and not inside.is_symlink() else inside.unlink()
    for file in (tree / "var/log").glob("*.log"):
        file.unlink()


async def _mirror(label: str, suite: str) -> str:
    """Return this machine's Debian mirror, or the default mirror when the machine is no Debian of that suite."""
    try:
        if f"VERSION_CODENAME={suite}" in await asyncio.to_thread(Path("/etc/os-release").read_text):
            listed = await run_command(
                "apt-get", "indextargets", "--format", "$(LABEL)|$(REPO_URI)", "Created-By: Packages"
            )
            for line in listed.splitlines():
                if line.startswith(f"{label}|"):
                    return line.removeprefix(f"{label}|")
    except (OSError, CommandFailed):  # another distribution, without apt
        pass
    return _USUAL_MIRRORS[label]


async def _fetch_settings() -> str:
    """Return this machine's fetch settings of apt (proxies, timeouts), without those that hold a credential."""
    try:
        lines = (await run_command("apt-config", "dump", "Acquire")).splitlines()
    except CommandFailed:
        return ""
    kept = [line for line in lines if _FETCH_SETTING.match(line) and not _CREDENTIAL.search(line)]
    return "".join(f"{line}\n" for line in kept)
