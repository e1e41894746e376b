"""The carrier for development: mails go to the server's log, with their codes only where codes are shown anyway."""

from __future__ import annotations

import structlog

from stackyn_server.gateways.mail.message import Mail
from stackyn_server.security.redaction import MASK

log = structlog.get_logger("stackyn.mail")


class LogCarrier:
    """`shows_codes` is `[auth] development_codes`."""

    def __init__(self, *, shows_codes: bool) -> None:
        self._shows_codes = shows_codes

    async def send(self, mail: Mail) -> None:
        subject, text = mail.subject, mail.text
        for secret in () if self._shows_codes else mail.secrets:
            subject, text = subject.replace(secret, MASK), text.replace(secret, MASK)
        log.info("mail.written", to=mail.to, subject=subject, text=text)
