"""A carrier that keeps the mails it gets, or fails."""

from __future__ import annotations

from stackyn_server.gateways.mail.message import Mail


class Mailbox:
    def __init__(self, failure: Exception | None = None) -> None:
        self.mails: list[Mail] = []
        self._failure = failure

    async def send(self, mail: Mail) -> None:
        if self._failure:
            raise self._failure
        self.mails.append(mail)
