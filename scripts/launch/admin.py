"""The first administrator of an installation."""

from __future__ import annotations

import asyncio
import os
import secrets
from dataclasses import dataclass

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
    credentials = installation.credentials
    if credentials.exists():
        email, password = credentials.read_text().split()
        return Admin(email, password, is_new=False)
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    process = await asyncio.create_subprocess_exec(
        *installation.command("admin", "create", "--email", EMAIL, "--password-file", "-"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate(password.encode())
    if process.returncode != 0:
        raise NotStarted(f"The first admin could not be made:\n\n{output.decode(errors='replace')}")
    # Never readable for others, and not there half.
    draft = credentials.with_name(credentials.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{EMAIL}\n{password}\n")
    draft.replace(credentials)
    return Admin(EMAIL, password, is_new=True)
