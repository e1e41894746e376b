"""Checks the kernel's limits by user, which all containers whose processes are one user share.

Images that run as root share root's with each other and with the engine. With the limits below, one app meets its own
memory limit before it has used up what the others need: the kernel charges these objects to the app's memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stackyn_server.cli.findings import Finding, Severity

_FOLDER = Path("/proc/sys")
_FILE = "/etc/sysctl.d/90-stackyn.conf"


@dataclass(frozen=True, slots=True)
class _Limit:
    """`least` is enough; `is_unlimited_at_0`: the kernel takes 0 for no limit."""

    name: str
    least: int
    what: str
    is_unlimited_at_0: bool = False


_LIMITS = (
    _Limit("fs.inotify.max_user_instances", 1_048_576, "watchers of files"),
    _Limit("fs.inotify.max_user_watches", 1_048_576, "watched files"),
    _Limit("fs.pipe-user-pages-soft", 1_048_576, "pages of pipes", is_unlimited_at_0=True),
)


def check_kernel_limits(folder: Path = _FOLDER) -> list[Finding]:
    """Return a finding for each limit that one app could use up, or one that says that none can. Blocking."""
    findings = []
    for limit in _LIMITS:
        try:
            # As in sysctl(8): the dots of a name are slashes.
            value = int((folder / limit.name.replace(".", "/")).read_text("ascii"))
        except (OSError, ValueError):
            continue  # this kernel has no such limit
        if value >= limit.least or (value == 0 and limit.is_unlimited_at_0):
            continue
        wanted = 0 if limit.is_unlimited_at_0 else limit.least
        findings.append(
            Finding(
                "kernel limits",
                Severity.WARNING,
                f"{limit.name} is {value:,}: one app can use up all {limit.what} of its user, which is root for many "
                f"images.",
                f"Raise it: echo '{limit.name} = {wanted}' >> {_FILE} && sysctl --system",
            )
        )
    fine = Finding("kernel limits", Severity.FINE, "No app can use up what the kernel counts by user.")
    return findings or [fine]
