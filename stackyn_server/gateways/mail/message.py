"""One mail, and the errors of sending it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from stackyn_server.errors import StackynError, Unavailable


@dataclass(frozen=True, slots=True)
class Mail:
    """`key` is the idempotency key: sent twice under one key, the mail should arrive once. `secrets` are parts of its
    text that only its reader may see."""

    key: str
    to: str
    subject: str = field(repr=False)
    text: str = field(repr=False)
    html: str = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


class MailUnavailable(Unavailable):
    """The mail server or service can't take the mail now; a later attempt may succeed."""

    code = "MAIL_UNAVAILABLE"


class MailRefused(StackynError):
    """The mail server or service refuses this mail for good."""

    code = "MAIL_REFUSED"


class Carrier(Protocol):
    """Sends one mail. Raises `MailUnavailable`, `MailRefused`, `SecretUnreadable`."""

    async def send(self, mail: Mail) -> None: ...
