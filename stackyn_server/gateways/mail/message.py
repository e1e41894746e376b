"""One mail, and what can go wrong while it is handed over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stackyn_server.errors import StackynError, Unavailable


@dataclass(frozen=True, slots=True)
class Mail:
    """`key` names the mail for ever: handing it over twice under one key is meant to arrive once."""

    key: str
    to: str
    subject: str
    text: str
    html: str


class MailUnavailable(Unavailable):
    """The mail server or service could not take the mail now; it may later."""

    code = "MAIL_UNAVAILABLE"


class MailRefused(StackynError):
    """The mail will not be taken, however often it is tried."""

    code = "MAIL_REFUSED"


def read_secret(path: str) -> str:
    """Return the content of a secret file without its last newline; "" for no path. Blocks on the disk.

    It is read for each mail, so that a new secret needs no restart. Raises `MailUnavailable`.
    """
    try:
        return Path(path).read_text("utf-8").rstrip("\r\n") if path else ""
    except (OSError, UnicodeDecodeError) as error:
        raise MailUnavailable(
            "The secret file of [mail] can't be read.", hint="Check its path and mode."
        ) from error


class Carrier(Protocol):
    """Hands one mail over. Raises `MailUnavailable` and `MailRefused`."""

    async def send(self, mail: Mail) -> None: ...
