"""Passwords: Argon2id in OWASP's profile, and the bcrypt hashes of imported users.

Refusing a password always takes one Argon2id and one bcrypt computation, whatever hash is stored. So the response time
does not show whether an account exists, has a password, or was imported.
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

# Measured: two at once do not delay the event loop; eight of the library's default profile delay it by 113 ms.
COMPUTATIONS_AT_ONCE = 2

_BCRYPT_PREFIXES = ("$2a$", "$2b$", "$2y$")
_BCRYPT_LONGEST_BYTES = 72  # the legacy backend refused longer ones, bcrypt 5 raises on them
_BCRYPT_LEGACY_COST = 10


@dataclass(frozen=True, slots=True)
class PasswordCheck:
    """Whether a password is right, and whether its hash should be replaced while the password is known."""

    is_right: bool
    needs_rehash: bool = False


_WRONG = PasswordCheck(is_right=False)


class Passwords:
    """Hashes and checks passwords in threads, two at a time."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=_PASSES, memory_cost=_MEMORY_KIB, parallelism=_LANES)
        self._semaphore = asyncio.Semaphore(COMPUTATIONS_AT_ONCE)
        decoy = secrets.token_hex(16)
        self._argon2_decoy = self._hasher.hash(decoy)
        self._bcrypt_decoy = bcrypt.hashpw(decoy.encode(), bcrypt.gensalt(_BCRYPT_LEGACY_COST))

    async def hash(self, password: str) -> str:
        """Return the Argon2id hash of `password`, with its parameters and salt."""
        async with self._semaphore:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, password: str, stored: str | None) -> PasswordCheck:
        """Check `password` against a stored hash. None: the account does not exist or has no password."""
        async with self._semaphore:
            return await asyncio.to_thread(self._verify, password, stored)

    def _verify(self, password: str, stored: str | None) -> PasswordCheck:
        if stored is not None and stored.startswith(_BCRYPT_PREFIXES):
            # The legacy backend stored a hash of "" for people who sign in without a password.
            if _bcrypt_matches(password, stored.encode()) and password:
                return PasswordCheck(is_right=True, needs_rehash=True)
            self._argon2_matches(password, self._argon2_decoy)
            return _WRONG
        if stored is not None and self._argon2_matches(password, stored):
            return PasswordCheck(is_right=True, needs_rehash=self._hasher.check_needs_rehash(stored))
        if stored is None:
            self._argon2_matches(password, self._argon2_decoy)
        _bcrypt_matches(password, self._bcrypt_decoy)
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
