"""The first administrator of an installation."""

from __future__ import annotations

import asyncio
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from scripts.launch.installation import Installation, NotStarted

EMAIL = "admin@localhost"
PASSWORD_BYTES = 12


@dataclass(frozen=True, slots=True)
class Admin:
    email: str
    password: str
    is_new: bool


async def first_admin(installation: Installation) -> Admin:
    """Make the first admin, or read the one of an earlier start from its file of mode 0600."""
    known = installation.credentials
    if known.exists():
        email, password = known.read_text().split()
        return Admin(email, password, is_new=False)
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    handed_over = known.with_name("first-admin.password")
    _write_private(handed_over, password)
    try:
        process = await asyncio.create_subprocess_exec(
            *installation.command("admin", "create", "--email", EMAIL, "--password-file", str(handed_over)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
    finally:
        handed_over.unlink()
    if process.returncode != 0:
        raise NotStarted(f"The first admin could not be made:\n\n{output.decode(errors='replace')}")
    _write_private(known, f"{EMAIL}\n{password}\n")
    return Admin(EMAIL, password, is_new=True)


def _write_private(file: Path, text: str) -> None:
    """Write a file that was never readable for others, whole or not at all."""
    draft = file.with_name(file.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(text)
    draft.replace(file)
