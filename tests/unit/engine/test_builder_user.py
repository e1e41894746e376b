"""The numbers that the builds of a tenant run as."""

from __future__ import annotations

import uuid
from itertools import pairwise
from pathlib import Path

from stackyn_server.domain.ids import UserId
from stackyn_server.engine.builder.builder_user import user_of

PEOPLE_AND_APPS, PROXIES = 65_536, 1_900_000_000
ANNA, BERT = (UserId(uuid.UUID(int=number)) for number in (1, 2))


def test_each_tenant_has_numbers_of_its_own_for_ever() -> None:
    tenants = [UserId(uuid.UUID(int=number)) for number in range(300)]
    users = [user_of(tenant) for tenant in tenants]

    assert user_of(ANNA) == user_of(ANNA) != user_of(BERT)
    assert len(set(users)) > 280, "one of 4,096"
    for user in users:
        assert PEOPLE_AND_APPS < user.uid < min(other.subordinate for other in users)
        assert user.subordinate + 65_536 < PROXIES
    ranges = sorted({user.subordinate for user in users})
    assert all(later - earlier >= 65_536 for earlier, later in pairwise(ranges))


def test_the_container_knows_its_user_by_name(tmp_path: Path) -> None:
    user = user_of(ANNA)

    user.write_files(tmp_path / "names")
    user.write_files(tmp_path / "names")  # before each build

    assert f"user:x:{user.uid}:{user.uid}:" in (tmp_path / "names" / "passwd").read_text()
    assert (tmp_path / "names" / "subuid").read_text() == f"user:{user.subordinate}:65536\n"
