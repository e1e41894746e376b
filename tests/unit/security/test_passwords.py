from __future__ import annotations

import asyncio
import threading

import bcrypt
import pytest
from argon2 import PasswordHasher

from stackyn_server.security.passwords import COMPUTATIONS_AT_ONCE, PasswordCheck, Passwords

PASSWORDS = Passwords()


def imported(password: bytes, prefix: bytes = b"2a") -> str:
    return bcrypt.hashpw(password, bcrypt.gensalt(4, prefix=prefix)).decode()


@pytest.mark.parametrize("password", ["correct horse", "ünïcödé ✓", "x" * 128, "nul\0inside"])
async def test_only_the_same_password_matches(password: str) -> None:
    stored = await PASSWORDS.hash(password)
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await PASSWORDS.verify(password, stored) == PasswordCheck(is_right=True)
    assert not (await PASSWORDS.verify(password + "x", stored)).is_right
    assert not (await PASSWORDS.verify("", stored)).is_right


async def test_an_imported_password_matches_and_needs_a_new_hash() -> None:
    assert await PASSWORDS.verify("legacy", imported(b"legacy")) == PasswordCheck(
        is_right=True, needs_rehash=True
    )
    assert not (await PASSWORDS.verify("Legacy", imported(b"legacy"))).is_right


async def test_an_imported_hash_of_an_empty_password_never_matches() -> None:
    assert not (await PASSWORDS.verify("", imported(b""))).is_right


async def test_a_password_longer_than_bcrypt_reads_does_not_match() -> None:
    stored = imported(b"x" * 72)
    assert (await PASSWORDS.verify("x" * 72, stored)).is_right
    assert not (await PASSWORDS.verify("x" * 73, stored)).is_right


@pytest.mark.parametrize(
    "stored", ["", "junk", "$2a$junk", "$2a$10$short", "$argon2id$v=19$junk", "plain text"]
)
async def test_a_damaged_hash_is_a_wrong_password(stored: str) -> None:
    assert await PASSWORDS.verify("anything", stored) == PasswordCheck(is_right=False)


@pytest.mark.parametrize("kind", ["nobody", "passwordless", "wrong", "imported", "junk"])
async def test_every_refusal_takes_one_computation_of_each_kind(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = {"wrong": await PASSWORDS.hash("right"), "imported": imported(b"right"), "junk": "$2a$junk"}.get(
        kind
    )
    computed = []
    check, verify = bcrypt.checkpw, PasswordHasher.verify

    def checkpw(password: bytes, hashed: bytes) -> bool:
        computed.append("bcrypt")
        return check(password, hashed)

    def verified(self: PasswordHasher, hashed: str, password: str) -> bool:
        computed.append("argon2")
        return verify(self, hashed, password)

    monkeypatch.setattr(bcrypt, "checkpw", checkpw)
    monkeypatch.setattr(PasswordHasher, "verify", verified)
    assert await PASSWORDS.verify("not the password", stored) == PasswordCheck(is_right=False)
    assert sorted(computed) == ["argon2", "bcrypt"]


async def test_a_hash_of_an_older_profile_needs_a_new_hash() -> None:
    stored = "$argon2id$v=19$m=1024,t=1,p=1$c29tZXNhbHRzb21l$"
    weaker = await asyncio.to_thread(_weaker, "password")
    assert weaker.startswith(stored[:30])
    assert await PASSWORDS.verify("password", weaker) == PasswordCheck(is_right=True, needs_rehash=True)


def _weaker(password: str) -> str:
    return PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(password)


async def test_at_most_two_passwords_are_checked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lock, running, most = threading.Lock(), 0, 0
    verify = PasswordHasher.verify

    def counted(self: PasswordHasher, hashed: str, password: str) -> bool:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        try:
            return verify(self, hashed, password)
        finally:
            with lock:
                running -= 1

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    await asyncio.gather(*(PASSWORDS.verify("password", None) for _ in range(8)))
    assert most == COMPUTATIONS_AT_ONCE == 2


async def test_passwords_are_checked_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """`tests/bench/security` asserts how long checks hold the loop at the most."""
    threads = []
    verify = PasswordHasher.verify

    def noted(self: PasswordHasher, hashed: str, password: str) -> bool:
        threads.append(threading.current_thread())
        return verify(self, hashed, password)

    monkeypatch.setattr(PasswordHasher, "verify", noted)
    await asyncio.gather(*(PASSWORDS.verify("password", None) for _ in range(8)))
    assert len(threads) == 8 and threading.current_thread() not in threads
