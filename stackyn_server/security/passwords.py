"""Passwords: Argon2id in OWASP's profile, and the bcrypt hashes of imported users.

A refused password costs one Argon2id and one bcrypt computation whatever the stored hash is, so that the time of the
answer tells nobody whether an account exists, has a password, or was imported.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html: 19 MiB, 2 passes, 1 lane
_MEMORY_KIB = 19 * 1024
_PASSES = 2
_LANES = 1

# Measured: two at once leave the event loop alone, eight of the library's default profile cost 113 ms of lag.
_AT_ONCE = 2

_BCRYPT_PREFIXES = ("$2a$", "$2b$", "$2y$")
_BCRYPT_LONGEST_BYTES = 72  # the legacy backend refused longer ones, bcrypt 5 raises on them
_BCRYPT_LEGACY_COST = 10


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a password is right, and whether its hash should be made anew now that the password is at hand."""

    is_right: bool
    needs_rehash: bool = False


_WRONG = Verdict(is_right=False)


class Passwords:
    """Hashes and checks passwords in threads, two at a time."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=_PASSES, memory_cost=_MEMORY_KIB, parallelism=_LANES)
        self._turns = asyncio.Semaphore(_AT_ONCE)
        nobody = secrets.token_hex(16)
        self._argon2_of_nobody = self._hasher.hash(nobody)
        self._bcrypt_of_nobody = bcrypt.hashpw(nobody.encode(), bcrypt.gensalt(_BCRYPT_LEGACY_COST))

    async def hash(self, password: str) -> str:
        """Return the Argon2id hash of `password`, with its parameters and salt."""
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, password: str, stored: str | None) -> Verdict:
        """Check `password` against a stored hash; None stands for an account or a password that is not there."""
        async with self._turns:
            return await asyncio.to_thread(self._verify, password, stored)

    def _verify(self, password: str, stored: str | None) -> Verdict:
        if stored is not None and stored.startswith(_BCRYPT_PREFIXES):
            # The legacy backend stored a hash of "" for people who sign in without a password.
            if _bcrypt_matches(password, stored.encode()) and password:
                return Verdict(is_right=True, needs_rehash=True)
            self._argon2_matches(password, self._argon2_of_nobody)
            return _WRONG
        if stored is not None and self._argon2_matches(password, stored):
            return Verdict(is_right=True, needs_rehash=self._hasher.check_needs_rehash(stored))
        if stored is None:
            self._argon2_matches(password, self._argon2_of_nobody)
        _bcrypt_matches(password, self._bcrypt_of_nobody)
        return _WRONG

    def _argon2_matches(self, password: str, stored: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False


def _bcrypt_matches(password: str, stored: bytes) -> bool:
    encoded = password.encode("utf-8", "surrogatepass")
    try:
        matches = bcrypt.checkpw(encoded[:_BCRYPT_LONGEST_BYTES], stored)
    except ValueError:  # not a hash that bcrypt can read
        return False
    return matches and len(encoded) <= _BCRYPT_LONGEST_BYTES
