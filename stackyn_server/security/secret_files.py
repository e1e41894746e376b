"""Reads the files that hold the operator's secrets: passwords, tokens and keys that `config.toml` names by path."""

from __future__ import annotations

from pathlib import Path

from stackyn_server.errors import Unavailable


class SecretUnreadable(Unavailable):
    """A secret file is missing, closed to this user, or not UTF-8 text."""

    exit_code = 78  # EX_CONFIG of sysexits.h


def read_secret(path: str, setting: str) -> str:
    """Return the text of the file without its last line breaks; "" for no path. Blocks on the disk.

    `setting` is the key that names the file, for the error. Read the file at each use: a new secret needs no restart.
    Raises `SecretUnreadable`.
    """
    try:
        return Path(path).read_text("utf-8").rstrip("\r\n") if path else ""
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SecretUnreadable(
            f"The secret file of {setting} can't be read: {reason}.", hint="Check its path, owner and mode."
        ) from error
