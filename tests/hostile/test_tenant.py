"""Somebody with an account gets nothing of anybody else's, and no more than the plan has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.hostile.api_stage import ApiStage
from tests.hostile.attempts import Attempt, Record, expect_only_open, rows
from tests.hostile.tenant import limits, others

ATTACKER = "another tenant"


@pytest.fixture
async def stranger(api: ApiStage) -> ApiStage:
    """The API, with a tenant who wants what the owner has."""
    return replace(api, attacker=await api.platform.person())


@rows([*others.ENDPOINTS, *others.NAMES, *others.BODIES, *others.RIGHTS, *others.ENDED])
async def test_a_tenant_gets_nothing_of_somebody_else(
    attempt: Attempt[ApiStage], stranger: ApiStage, record_property: Record
) -> None:
    await expect_only_open(attempt, ATTACKER, stranger, record_property)


@rows([*limits.TAKING_MORE, *limits.NAMES])
async def test_a_tenant_gets_no_more_than_the_plan_has(
    attempt: Attempt[ApiStage], stranger: ApiStage, record_property: Record
) -> None:
    await expect_only_open(attempt, ATTACKER, stranger, record_property)
