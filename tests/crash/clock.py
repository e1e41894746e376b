"""A clock that a test can set, for one server and its embedded PostgreSQL: the machine's own is everybody's.

Debian's libfaketime moves what both read as the time of day. Durations are the kernel's and go on as they are.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stackyn_server.postgres import binaries

LIBRARIES = (
    "/usr/lib/*/faketime/libfaketimeMT.so.1"  # Debian's `faketime`, which scripts/test --full installs
)


class Clock:
    """`environment` is for the server, `programs` for its `[database] binaries`: the database's user has no say in its
    own environment. Both users must be able to pass through `folder`."""

    def __init__(self, folder: Path, hours: int) -> None:
        folder.mkdir(mode=0o755)
        self._offset = folder / "offset"
        (library, *_) = sorted(Path("/").glob(LIBRARIES.lstrip("/"))) or [
            Path("missing: run scripts/test --full")
        ]
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._offset),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.programs = folder / "programs"
        self._wrap(binaries.provide("", folder))
        self.set(hours)

    def set(self, hours: int) -> None:
        """Jump to so many hours from the true time."""
        self.hours = hours
        fresh = self._offset.with_suffix(".new")
        fresh.write_text(f"{hours:+}h")
        fresh.chmod(0o644)
        os.replace(fresh, self._offset)

    def shows(self, moment: datetime) -> bool:
        """Whether somebody who looked at it just now saw this."""
        return abs(moment - datetime.now(UTC) - timedelta(hours=self.hours)) < timedelta(minutes=5)

    def _wrap(self, real: binaries.Binaries) -> None:
        self.programs.mkdir(mode=0o755)
        (self.programs / "initdb").symlink_to(real.program("initdb"))
        postgres = self.programs / "postgres"
        moved = " ".join(f"{name}={value}" for name, value in self.environment.items())
        postgres.write_text(f'#!/bin/sh\nexec env {moved} {real.program("postgres")} "$@"\n')
        postgres.chmod(0o755)
