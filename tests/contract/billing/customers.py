"""Those who buy, or are on trial: what the server says of them, and their time running out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from stackyn_server.domain.ids import AppId, UserId
from stackyn_server.gateways.mail.message import Mail
from stackyn_server.operations.mail_delivery import MailDelivery
from stackyn_server.security.sealing import Sealer
from stackyn_server.store import accounts
from stackyn_server.store.jobs import Job
from tests.contract.conftest import KEYS, Person, Platform
from tests.mailbox import Mailbox


async def a_customer(platform: Platform, email: str = "ada@example.test") -> Person:
    """Somebody who signed up by a code, and is on trial."""
    sent = await platform.nobody.post("/api/auth/send-otp", json={"email": email})
    body = {"email": email, "otp": sent.json["otp"]}
    signed_in = (await platform.nobody.post("/api/auth/verify-otp", json=body)).json
    return Person(platform, UserId(UUID(signed_in["user"]["id"])), email, signed_in["token"])


async def billing_of(person: Person) -> tuple[str, str | None, str]:
    """Billing status, subscription status and enforced plan, as the profile shows them."""
    profile = (await person.get("/api/user/me")).json
    subscription = profile.get("subscription")
    plan = profile["quota"]["plan"]
    assert profile["plan"] == profile["quota"]["plan_name"] == plan["name"]
    if subscription is not None:
        assert set(subscription) - {"trial_started_at", "trial_ends_at"} == {
            "status", "plan", "ram_limit_mb", "disk_limit_gb",
        }  # fmt: skip
        assert subscription["plan"] == profile["plan"]
        assert subscription["ram_limit_mb"] == plan["max_ram_mb"]
        assert subscription["disk_limit_gb"] * 1024 == plan["max_disk_mb"]
        agreed = {"cancelled": "active"}.get(subscription["status"], subscription["status"])
        assert profile["billing_status"] == agreed
    return profile["billing_status"], subscription and subscription["status"], profile["plan"]


async def mails(platform: Platform) -> int:
    return int(await platform.value("SELECT count(*) FROM job WHERE kind = 'mail'"))


async def letters(platform: Platform) -> list[Mail]:
    """What the mails in the queue say, oldest first, as they would be handed over."""
    sealer, mailbox = Sealer(KEYS.sealing), Mailbox()
    async with platform.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT * FROM job WHERE kind = 'mail' AND state = 'waiting' ORDER BY id"
        )
    for row in rows:
        await MailDelivery(platform.database, sealer, mailbox)(Delivered(Job.from_row(row)))  # type: ignore[arg-type]
    return mailbox.mails


@dataclass(frozen=True)
class Delivered:
    """A run whose job stays in the queue."""

    job: Job

    async def finish(self, _connection: object) -> None: ...


async def end_of_trial(platform: Platform, person: Person) -> None:
    """Let the trial end now, as its timer does."""
    now = datetime.now(UTC)
    await platform.execute("UPDATE account SET trial_ends_at = $2 WHERE id = $1", person.id, now)
    await settle(platform, person)


async def settle(platform: Platform, person: Person) -> None:
    assert person.id is not None
    async with platform.database.transaction() as connection:
        account = await accounts.lock(connection, person.id)
        assert account is not None
        await platform.billing.settle(connection, account)


async def desired(platform: Platform, app: AppId) -> tuple[str, bool]:
    row = await platform.value("SELECT desired || ' ' || stopped_by_billing FROM app WHERE id = $1", app)
    desired_state, by_billing = row.split()
    return desired_state, by_billing == "true"
