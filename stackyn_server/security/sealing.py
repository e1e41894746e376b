"""Seals secrets at rest with AES-256-GCM, bound to a context.

A sealed value is `key id (2 bytes, big endian) | nonce (12 bytes) | ciphertext and tag`. The context is authenticated:
a value that was moved to another tenant, app or name can't be opened.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from stackyn_server.errors import StackynError

_KEY_ID_BYTES = 2
_NONCE_BYTES = 12
_TAG_BYTES = 16
OVERHEAD_BYTES = _KEY_ID_BYTES + _NONCE_BYTES + _TAG_BYTES  # by which a sealed value is longer


class SealBroken(StackynError):
    """A sealed value can't be opened: its key is missing, or the value was changed or moved."""

    code = "SEAL_BROKEN"


class Sealer:
    """Seals with the newest key and opens with any."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        if not keys:
            raise ValueError("a sealer needs at least one key")
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._newest = max(keys)

    def seal(self, context: str, plaintext: bytes) -> bytes:
        """Return `plaintext` sealed for `context`, such as `<tenant>|<app>|<name>`."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        ciphertext = self._ciphers[self._newest].encrypt(nonce, plaintext, context.encode())
        return self._newest.to_bytes(_KEY_ID_BYTES, "big") + nonce + ciphertext

    def open(self, context: str, sealed: bytes) -> bytes:
        """Return what was sealed for the same `context`, or raise `SealBroken`."""
        if len(sealed) < OVERHEAD_BYTES:
            raise SealBroken("A stored secret is damaged.", hint="Set it again.")
        cipher = self._ciphers.get(self.key_id(sealed))
        if cipher is None:
            raise SealBroken(
                "The key of a stored secret is missing.",
                hint="Restore the key files of this installation, or set the secret again.",
            )
        nonce_ends = _KEY_ID_BYTES + _NONCE_BYTES
        try:
            return cipher.decrypt(sealed[_KEY_ID_BYTES:nonce_ends], sealed[nonce_ends:], context.encode())
        except InvalidTag as error:
            raise SealBroken("A stored secret is damaged.", hint="Set it again.") from error

    @staticmethod
    def key_id(sealed: bytes) -> int:
        return int.from_bytes(sealed[:_KEY_ID_BYTES], "big")
