"""A mail on its way: queued with the state it belongs to, sealed, delivered by its job."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stackyn_server.gateways.mail.message import Mail, MailRefused, MailUnavailable
from stackyn_server.gateways.mail.templates import MailTemplate
from stackyn_server.operations.mail_delivery import MailDelivery
from stackyn_server.security.sealing import Sealer
from stackyn_server.services.mail import MailQueue
from stackyn_server.store.database import Database
from stackyn_server.store.jobs import Job
from tests.rows import an_account

SEALER = Sealer({1: b"k" * 32})


class Box:
    """A carrier that keeps what it gets, or fails."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.mails: list[Mail] = []
        self._failure = failure

    async def send(self, mail: Mail) -> None:
        if self._failure:
            raise self._failure
        self.mails.append(mail)


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


async def deliver(database: Database, run: Run, box: Box) -> None:
    await MailDelivery(database, SEALER, box)(run)  # type: ignore[arg-type]


async def test_a_mail_is_delivered_under_the_key_of_its_job(database: Database) -> None:
    run, box = await queued(database), Box()
    await deliver(database, run, box)
    assert [(mail.to, mail.key) for mail in box.mails] == [("a@example.test", run.job.subject)]
    assert "123456" in box.mails[0].text and run.is_finished


async def test_a_carrier_that_is_away_leaves_the_job_to_be_tried_again(database: Database) -> None:
    run = await queued(database)
    with pytest.raises(MailUnavailable):
        await deliver(database, run, Box(MailUnavailable("away")))
    assert not run.is_finished


async def test_a_refused_mail_is_not_tried_again(database: Database) -> None:
    run = await queued(database)
    await deliver(database, run, Box(MailRefused("no")))
    assert run.is_finished


async def test_a_code_that_ran_out_is_not_delivered(database: Database) -> None:
    run, box = await queued(database, useless_after=datetime.now(UTC) - timedelta(seconds=1)), Box()
    await deliver(database, run, box)
    assert box.mails == [] and run.is_finished


async def test_what_is_only_for_accounts_reaches_only_accounts(database: Database) -> None:
    run, box = await queued(database, "nobody@example.test", only_to_accounts=True), Box()
    await deliver(database, run, box)
    assert box.mails == [] and run.is_finished
    async with database.transaction() as connection:
        await connection.execute("DELETE FROM job")
        await an_account(connection)
        address = await connection.fetchval("SELECT email FROM account")
    run = await queued(database, address.upper(), only_to_accounts=True)
    await deliver(database, run, box)
    assert len(box.mails) == 1
