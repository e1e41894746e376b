"""Somebody with an account gets nothing of anybody else's, and no more than the plan has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.hostile.api_stage import ApiStage
from tests.hostile.attempts import Attempt, Record, expect_only_open, rows
from tests.hostile.tenant import credentials, limits, others, streams

ATTACKER = "another tenant"


@pytest.fixture
async def stranger(api: ApiStage) -> ApiStage:
    """The API, with a tenant who wants what the owner has."""
    return replace(api, attacker=await api.platform.person())


@rows(
    [
        *others.ENDPOINTS,
        *others.NAMES,
        *others.BODIES,
        *others.RIGHTS,
        *others.ENDED,
        *credentials.STOLEN,
        *credentials.SCOPES,
        *credentials.ENDED,
    ]
)
async def test_a_tenant_gets_nothing_of_somebody_else(
    attempt: Attempt[ApiStage], stranger: ApiStage, record_property: Record
) -> None:
    await expect_only_open(attempt, ATTACKER, stranger, record_property)


@rows([*limits.TAKING_MORE, *limits.NAMES])
async def test_a_tenant_gets_no_more_than_the_plan_has(
    attempt: Attempt[ApiStage], stranger: ApiStage, record_property: Record
) -> None:
    await expect_only_open(attempt, ATTACKER, stranger, record_property)


@rows(credentials.GUESSED)
async def test_a_stolen_sign_in_gives_few_guesses(
    attempt: Attempt[ApiStage], stranger: ApiStage, record_property: Record
) -> None:
    async with credentials.slow_to_guess(stranger) as slow:
        await expect_only_open(attempt, ATTACKER, slow, record_property)


@rows(credentials.RESET)
async def test_a_new_password_by_code_ends_tokens(
    attempt: Attempt[ApiStage], stranger: ApiStage, record_property: Record
) -> None:
    async with credentials.with_codes(stranger) as with_codes:
        await expect_only_open(attempt, ATTACKER, with_codes, record_property)


@rows(streams.STREAMS)
async def test_streams_are_few_and_end_with_their_right(
    attempt: Attempt[ApiStage], stranger: ApiStage, record_property: Record
) -> None:
    async with streams.narrow(stranger) as narrow:
        await expect_only_open(attempt, ATTACKER, narrow, record_property)
