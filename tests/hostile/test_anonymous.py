"""A client without an account gets nothing; and each of its attempts succeeds where something is open."""

from __future__ import annotations

from tests.hostile import anonymous
from tests.hostile.api_stage import ApiStage
from tests.hostile.attempts import Record, expect_only_open, rows

ATTACKER = "anonymous client"


@rows(
    [
        *anonymous.TOKENS,
        *anonymous.ENDPOINTS_WITHOUT_TOKEN,
        *anonymous.UNREADABLE,
        *anonymous.BODIES,
        *anonymous.UNTOLD,
    ]
)
async def test_a_client_without_account_gets_nothing(
    attempt: anonymous.Row, api: ApiStage, record_property: Record
) -> None:
    await expect_only_open(attempt, ATTACKER, api, record_property)


@rows(anonymous.BROWSER)
async def test_a_page_of_somebody_else_reads_nothing(
    attempt: anonymous.Row, api: ApiStage, record_property: Record
) -> None:
    async with anonymous.closed_to_other_pages(api) as closed:
        await expect_only_open(attempt, ATTACKER, closed, record_property)


@rows(anonymous.WEBHOOKS)
async def test_only_the_payment_provider_gives_plans(
    attempt: anonymous.Row, api: ApiStage, record_property: Record
) -> None:
    async with anonymous.selling(api) as shop:
        await expect_only_open(attempt, ATTACKER, shop, record_property)


@rows(anonymous.GUESSING)
async def test_guessing_and_squatting_open_no_account(
    attempt: anonymous.Row, api: ApiStage, record_property: Record
) -> None:
    async with anonymous.rated(api) as careful:
        await expect_only_open(attempt, ATTACKER, careful, record_property)
