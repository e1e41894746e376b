"""The mail queue: a mail is committed in the transaction that causes it and delivered by a `mail` job."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime
from uuid import uuid4

from stackyn_server.domain.jobs import Kind, MailArguments
from stackyn_server.gateways.mail.templates import MailTemplate
from stackyn_server.security.sealing import Sealer
from stackyn_server.store import jobs
from stackyn_server.store.database import Connection


class MailQueue:
    """Puts mails into the queue. Their content (a one-time code, for example) is sealed in the job row."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    async def put(
        self,
        connection: Connection,
        template: MailTemplate,
        to: str,
        values: Mapping[str, str],
        *,
        only_to_accounts: bool = False,
        useless_after: datetime | None = None,
    ) -> None:
        """Enqueue a mail in the caller's transaction.

        With `only_to_accounts` it is dropped at delivery when the address has no account: a request for it then takes
        the same time for known and unknown addresses. After `useless_after` it is not delivered any more.
        """
        key = str(uuid4())
        content = json.dumps({"template": template.value, "to": to, "values": dict(values)})
        await jobs.enqueue(
            connection,
            Kind.MAIL,
            key,
            arguments=MailArguments(
                base64.b64encode(self._sealer.seal(mail_context(key), content.encode())).decode(),
                only_to_accounts,
                useless_after.isoformat() if useless_after else None,
            ),
        )


def mail_context(key: str) -> str:
    """Return what the content of the mail `key` is sealed for."""
    return f"mail|{key}"
