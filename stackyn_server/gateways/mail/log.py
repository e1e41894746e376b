"""The carrier for development: mails go to the server's log, codes and all."""

from __future__ import annotations

import structlog

from stackyn_server.gateways.mail.message import Mail

log = structlog.get_logger("stackyn.mail")


class LogCarrier:
    async def send(self, mail: Mail) -> None:
        log.info("mail.written", to=mail.to, subject=mail.subject, text=mail.text)
