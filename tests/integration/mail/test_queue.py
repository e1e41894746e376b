"""A mail on its way: queued with the state it belongs to, sealed, delivered by its job."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stackyn_server.gateways.mail.message import MailRefused, MailUnavailable
from stackyn_server.gateways.mail.templates import MailTemplate
from stackyn_server.operations.mail_delivery import MailDelivery
from stackyn_server.security.sealing import Sealer
from stackyn_server.services.mail import MailQueue
from stackyn_server.store.database import Database
from stackyn_server.store.jobs import Job
from tests.mailbox import Mailbox
from tests.rows import an_account

SEALER = Sealer({1: b"k" * 32})


class Run:
    """What the dispatcher hands to a handler, as far as this one uses it."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.is_finished = False

    async def finish(self, connection: object) -> None:
        self.is_finished = True


async def queued(database: Database, to: str = "a@example.test", **options: Any) -> Run:
    async with database.transaction() as connection:
        values = {"code": "123456", "minutes": "10"}
        await MailQueue(SEALER).put(connection, MailTemplate.SIGN_IN_CODE, to, values, **options)
        row = await connection.fetchrow("SELECT * FROM job WHERE kind = 'mail'")
    assert row is not None and "123456" not in str(dict(row))
    return Run(Job.from_row(row))


async def deliver(database: Database, run: Run, mailbox: Mailbox) -> None:
    await MailDelivery(database, SEALER, mailbox)(run)  # type: ignore[arg-type]


async def test_a_mail_is_delivered_under_the_key_of_its_job(database: Database) -> None:
    run, mailbox = await queued(database), Mailbox()
    await deliver(database, run, mailbox)
    assert [(mail.to, mail.key) for mail in mailbox.mails] == [("a@example.test", run.job.subject)]
    assert "123456" in mailbox.mails[0].text and run.is_finished


async def test_a_carrier_that_is_away_leaves_the_job_to_be_tried_again(database: Database) -> None:
    run = await queued(database)
    with pytest.raises(MailUnavailable):
        await deliver(database, run, Mailbox(MailUnavailable("away")))
    assert not run.is_finished


async def test_a_refused_mail_is_not_tried_again(database: Database) -> None:
    run = await queued(database)
    await deliver(database, run, Mailbox(MailRefused("no")))
    assert run.is_finished


async def test_a_code_that_ran_out_is_not_delivered(database: Database) -> None:
    run, mailbox = await queued(database, useless_after=datetime.now(UTC) - timedelta(seconds=1)), Mailbox()
    await deliver(database, run, mailbox)
    assert mailbox.mails == [] and run.is_finished


async def test_what_is_only_for_accounts_reaches_only_accounts(database: Database) -> None:
    run, mailbox = await queued(database, "nobody@example.test", only_to_accounts=True), Mailbox()
    await deliver(database, run, mailbox)
    assert mailbox.mails == [] and run.is_finished
    async with database.transaction() as connection:
        await connection.execute("DELETE FROM job")
        await an_account(connection)
        address = await connection.fetchval("SELECT email FROM account")
    run = await queued(database, address.upper(), only_to_accounts=True)
    await deliver(database, run, mailbox)
    assert len(mailbox.mails) == 1
