from __future__ import annotations

import pytest

from stackyn_server.security.sealing import SealBroken, Sealer

OLD, NEW = {1: b"a" * 32}, {1: b"a" * 32, 2: b"b" * 32}


def test_what_was_sealed_opens_for_its_context_only() -> None:
    sealer = Sealer(OLD)
    sealed = sealer.seal("tenant|5|KEY", b"value")
    assert sealer.open("tenant|5|KEY", sealed) == b"value"
    assert b"value" not in sealed
    for context in ("tenant|6|KEY", "other|5|KEY", "tenant|5|KEY2", ""):
        with pytest.raises(SealBroken):
            sealer.open(context, sealed)


def test_the_same_value_never_looks_the_same() -> None:
    sealer = Sealer(OLD)
    assert len({sealer.seal("c", b"value") for _ in range(100)}) == 100


def test_a_newer_key_seals_and_the_older_still_opens() -> None:
    sealed = Sealer(OLD).seal("c", b"value")
    newer = Sealer(NEW)
    assert newer.open("c", sealed) == b"value" and Sealer.key_id(sealed) == 1
    again = newer.seal("c", b"value")
    assert Sealer.key_id(again) == 2
    with pytest.raises(SealBroken, match="key"):
        Sealer(OLD).open("c", again)


@pytest.mark.parametrize("position", [0, 1, 2, 13, 14, -1])
def test_a_changed_byte_is_noticed(position: int) -> None:
    sealer = Sealer(OLD)
    sealed = bytearray(sealer.seal("c", b"value"))
    sealed[position] ^= 1
    with pytest.raises(SealBroken):
        sealer.open("c", bytes(sealed))


@pytest.mark.parametrize("length", [0, 1, 13, 29])
def test_a_cut_off_value_is_noticed(length: int) -> None:
    sealer = Sealer(OLD)
    with pytest.raises(SealBroken):
        sealer.open("c", sealer.seal("c", b"")[:length])
