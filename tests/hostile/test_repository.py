"""A repository and its host have nobody reach anything private, read nothing of this machine and take no more room."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.hostile import repository_addresses, repository_trees
from tests.hostile.attempts import Attempt, Record, expect_only_open, rows
from tests.hostile.repository_stage import RepositoryStage, repository_stage

ATTACKER = "repository"


@pytest.fixture(scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RepositoryStage]:
    async with repository_stage(tmp_path_factory.mktemp("repository")) as stage:
        yield stage


@rows(
    [
        *repository_addresses.FETCHING,
        *repository_addresses.LFS,
        *repository_trees.LINKS,
        *repository_trees.OUTSIDE,
        *repository_trees.MORE,
        *repository_trees.REWRITING,
    ]
)
async def test_a_repository_gets_nothing_of_this_machine(
    attempt: Attempt[RepositoryStage], stage: RepositoryStage, record_property: Record
) -> None:
    await expect_only_open(attempt, ATTACKER, stage, record_property)
