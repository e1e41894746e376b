"""Mail through the HTTP API of Resend: `POST /emails` with its idempotency key (resend.com/docs, from memory)."""

from __future__ import annotations

import asyncio

import aiohttp

from stackyn_server.config import MailSettings
from stackyn_server.gateways.mail.message import Mail, MailRefused, MailUnavailable
from stackyn_server.security.secret_files import read_secret

_ANSWER_SECONDS = 30.0
# These statuses refuse this one mail. Others (a wrong key, too many requests) can be resolved later.
_PERMANENT = frozenset({400, 422})


class ResendCarrier:
    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings

    async def send(self, mail: Mail) -> None:
        key = await asyncio.to_thread(read_secret, self._settings.resend_key_file, "[mail] resend_key_file")
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": mail.key}
        body = {
            "from": self._settings.sender,
            "to": [mail.to],
            "subject": mail.subject,
            "text": mail.text,
            "html": mail.html,
        }
        timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(self._settings.resend_url, json=body, headers=headers) as response,
            ):
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise MailUnavailable("The mail service can't be reached.") from error
        if status in _PERMANENT:
            raise MailRefused(f"The mail service refused the mail with status {status}.")
        if status >= 300:
            raise MailUnavailable(f"The mail service answered with status {status}.")
