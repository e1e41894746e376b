"""The installation's secret keys: files of mode 0600 below `<data_dir>/keys`, made once and never sent anywhere."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from stackyn_server.errors import StackynError

KEY_BYTES = 32

_SIGNING = "signing"
_LEGACY_SIGNING = "legacy-signing"
_SEALING = re.compile(r"sealing-([1-9][0-9]{0,4})")
_FIRST_SEALING = "sealing-1"
_LARGEST_KEY_ID = 0xFFFF


class KeysUnusable(StackynError):
    """A key file is missing, damaged or readable for others. The message says which and what to do."""

    code = "KEYS_UNUSABLE"


@dataclass(frozen=True, slots=True)
class Keys:
    """`signing` makes and checks tokens; `sealing` maps key ids to keys, of which the highest seals.

    `legacy_signing` is the secret of an imported legacy backend, whose tokens stay valid; None without an import.
    """

    signing: bytes = field(repr=False)
    sealing: Mapping[int, bytes] = field(repr=False)
    legacy_signing: bytes | None = field(default=None, repr=False)

    def derive(self, purpose: str) -> bytes:
        """Return a 32-byte key for `purpose` that says nothing about the signing key (HKDF-Expand, RFC 5869)."""
        return HKDFExpand(SHA256(), KEY_BYTES, purpose.encode()).derive(self.signing)


def load_keys(directory: Path) -> Keys:
    """Read the key files of `directory`, first making those that no installation can be without.

    Blocks on the disk: call it before the loop runs, or in a thread. Raises `KeysUnusable`.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _create_once(directory / _SIGNING)
        sealing_names = _sealing_names(directory)
        if not sealing_names:
            _create_once(directory / _FIRST_SEALING)
            sealing_names = [_FIRST_SEALING]
        sealing = {_key_id(name): _read(directory / name) for name in sealing_names}
        legacy = directory / _LEGACY_SIGNING
        return Keys(
            signing=_read(directory / _SIGNING),
            sealing=sealing,
            legacy_signing=_read(legacy, exact=False) if legacy.exists() else None,
        )
    except OSError as error:
        raise _unusable(directory, error) from error


def add_sealing_key(directory: Path) -> int:
    """Make a sealing key after the newest one and return its id; it is on the disk then. Blocks on the disk."""
    try:
        newest = max(map(_key_id, _sealing_names(directory)), default=0)
        name = f"sealing-{newest + 1}"
        _key_id(name)
        _create_once(directory / name)
    except OSError as error:
        raise _unusable(directory, error) from error
    return newest + 1


def remove_sealing_keys(directory: Path, *, apart_from: int) -> list[int]:
    """Remove all other sealing keys and return their ids. Blocks on the disk."""
    removed = sorted({_key_id(name) for name in _sealing_names(directory)} - {apart_from})
    try:
        for key_id in removed:
            (directory / f"sealing-{key_id}").unlink()
        _sync(directory)
    except OSError as error:
        raise _unusable(directory, error) from error
    return removed


def replace_signing_key(directory: Path) -> None:
    """Make a new signing key, which ends all sessions and open codes. Blocks on the disk."""
    try:
        temporary = _new_key_beside(directory / _SIGNING)
        os.replace(temporary, directory / _SIGNING)
        _sync(directory)
    except OSError as error:
        raise _unusable(directory, error) from error


def _sealing_names(directory: Path) -> list[str]:
    return [name for name in os.listdir(directory) if _SEALING.fullmatch(name)]


def _unusable(directory: Path, error: OSError) -> KeysUnusable:
    return KeysUnusable(
        f"The keys in {directory} can't be read or made: {error.strerror}.",
        hint="Check the owner and the mode of that directory.",
    )


def _key_id(name: str) -> int:
    number = int(name.rpartition("-")[2])
    if number > _LARGEST_KEY_ID:
        raise KeysUnusable(f"The key file {name} has a number over {_LARGEST_KEY_ID}.")
    return number


def _create_once(path: Path) -> None:
    """Make a random key file, whole or not at all; one that is there already stays as it is."""
    if path.exists():
        return
    temporary = _new_key_beside(path)
    try:
        # A link, unlike a rename, never replaces the key that another process made meanwhile.
        os.link(temporary, path)
    except FileExistsError:
        return
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


def _new_key_beside(path: Path) -> Path:
    """Write a random key to a new file in the folder of `path`, whole and on the disk, and return that file."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _sync(directory: Path) -> None:
    """Have the names in the folder survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path, *, exact: bool = True) -> bytes:
    if path.stat().st_mode & 0o077:
        raise KeysUnusable(
            f"The key file {path} can be read by other users of this machine.",
            hint=f"Run: chmod 600 {path}",
        )
    key = path.read_bytes()
    if len(key) < KEY_BYTES or (exact and len(key) != KEY_BYTES):
        raise KeysUnusable(
            f"The key file {path} has {len(key)} bytes instead of {KEY_BYTES}.",
            hint="Restore it from a backup; without it, what it protects can't be read.",
        )
    return key
