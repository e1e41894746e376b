"""Mail jobs: hand each queued mail over to the carrier, at least once."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import structlog

from stackyn_server.domain.jobs import MailArguments
from stackyn_server.gateways.mail.message import Carrier, MailRefused
from stackyn_server.gateways.mail.templates import MailTemplate, compose
from stackyn_server.jobs.run import JobRun
from stackyn_server.security.sealing import Sealer
from stackyn_server.services.mail import mail_context
from stackyn_server.store import accounts
from stackyn_server.store.database import Database

log = structlog.get_logger("stackyn.mail")


class MailDelivery:
    """The handler of `mail` jobs."""

    def __init__(self, database: Database, sealer: Sealer, carrier: Carrier) -> None:
        self._database = database
        self._sealer = sealer
        self._carrier = carrier

    async def __call__(self, run: JobRun) -> None:
        """Hand the mail over. Raises `MailUnavailable`; the dispatcher then retries the job."""
        arguments, key = MailArguments.parse(run.job.arguments), run.job.subject
        sealed = base64.b64decode(arguments.sealed)
        content = json.loads(self._sealer.open(mail_context(key), sealed))
        useless_after = arguments.useless_after
        if useless_after and datetime.fromisoformat(useless_after) <= datetime.now(UTC):
            log.info("mail.too_late", key=key)
        elif not arguments.only_to_accounts or await self._has_account(content["to"]):
            mail = compose(MailTemplate(content["template"]), key, content["to"], content["values"])
            try:
                await self._carrier.send(mail)
            except MailRefused as refusal:
                log.warning("mail.refused", key=key, reason=refusal.message)
        async with self._database.transaction() as connection:
            await run.finish(connection)

    async def _has_account(self, email: str) -> bool:
        async with self._database.connection() as connection:
            return await accounts.by_email(connection, email) is not None
