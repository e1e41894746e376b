"""A client without an account gets nothing; and each of its attempts succeeds where something is open."""

from __future__ import annotations

from tests.hostile.anonymous import (
    bearer_tokens,
    before_sign_in,
    browser,
    endpoints,
    guessing,
    request_bodies,
    webhooks,
)
from tests.hostile.api_stage import ApiStage
from tests.hostile.attempts import Attempt, Record, expect_only_open, rows

ATTACKER = "anonymous client"


@rows(
    [
        *bearer_tokens.TOKENS,
        *bearer_tokens.UNREADABLE,
        *endpoints.WITHOUT_TOKEN,
        *request_bodies.BODIES,
        *guessing.UNTOLD,
    ]
)
async def test_a_client_without_account_gets_nothing(
    attempt: Attempt[ApiStage], api: ApiStage, record_property: Record
) -> None:
    await expect_only_open(attempt, ATTACKER, api, record_property)


@rows(browser.BROWSER)
async def test_a_page_of_somebody_else_reads_nothing(
    attempt: Attempt[ApiStage], api: ApiStage, record_property: Record
) -> None:
    async with browser.closed_to_other_pages(api) as closed:
        await expect_only_open(attempt, ATTACKER, closed, record_property)


@rows(webhooks.WEBHOOKS)
async def test_only_the_payment_provider_gives_plans(
    attempt: Attempt[ApiStage], api: ApiStage, record_property: Record
) -> None:
    async with webhooks.selling(api) as billed:
        await expect_only_open(attempt, ATTACKER, billed, record_property)


@rows(guessing.GUESSING)
async def test_guessing_and_squatting_open_no_account(
    attempt: Attempt[ApiStage], api: ApiStage, record_property: Record
) -> None:
    async with guessing.rated(api) as careful:
        await expect_only_open(attempt, ATTACKER, careful, record_property)


@rows(before_sign_in.COSTS)
async def test_strangers_costs_are_bounded(
    attempt: Attempt[ApiStage], api: ApiStage, record_property: Record
) -> None:
    async with before_sign_in.careful(api) as careful:
        await expect_only_open(attempt, ATTACKER, careful, record_property)


@rows(before_sign_in.LOCKING_OUT)
async def test_nobody_locks_an_owner_out(
    attempt: Attempt[ApiStage], api: ApiStage, record_property: Record
) -> None:
    async with before_sign_in.slow_to_guess(api) as careful:
        await expect_only_open(attempt, ATTACKER, careful, record_property)
