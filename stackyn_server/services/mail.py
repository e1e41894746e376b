"""Mail from a durable queue: put in with the state it belongs to, sealed, handed over by a job, at least once."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import uuid4

import structlog

from stackyn_server.domain.jobs import RAISED_PRIORITY, Kind
from stackyn_server.gateways.mail.message import Carrier, MailRefused
from stackyn_server.gateways.mail.templates import MailTemplate, compose
from stackyn_server.jobs.run import JobRun
from stackyn_server.security.sealing import Sealer
from stackyn_server.store import accounts, jobs
from stackyn_server.store.database import Connection, Database

log = structlog.get_logger("stackyn.mail")


class MailQueue:
    """Puts mails into the queue. What they say, codes above all, is sealed in the job row."""

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
            arguments={
                "sealed": base64.b64encode(self._sealer.seal(_context(key), content.encode())).decode(),
                "only_to_accounts": only_to_accounts,
                "useless_after": useless_after.isoformat() if useless_after else None,
            },
            priority=RAISED_PRIORITY,
        )


class MailDelivery:
    """The handler of `mail` jobs."""

    def __init__(self, database: Database, sealer: Sealer, carrier: Carrier) -> None:
        self._database = database
        self._sealer = sealer
        self._carrier = carrier

    async def __call__(self, run: JobRun) -> None:
        """Hand the mail over. Raises `MailUnavailable`, upon which the dispatcher tries again."""
        arguments, key = run.job.arguments, run.job.subject
        sealed = base64.b64decode(arguments["sealed"])
        content = json.loads(self._sealer.open(_context(key), sealed))
        useless_after = arguments["useless_after"]
        if useless_after and datetime.fromisoformat(useless_after) <= datetime.now(UTC):
            log.info("mail.too_late", key=key)
        elif not arguments["only_to_accounts"] or await self._has_account(content["to"]):
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


def _context(key: str) -> str:
    return f"mail|{key}"
