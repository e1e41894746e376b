"""Guessing gets slow for whoever guesses, and for nobody else."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from stackyn_server.api import failed_attempts
from stackyn_server.api.failed_attempts import FailedAttempts
from stackyn_server.config import RatesSettings
from stackyn_server.domain.client_network import ClientNetwork
from stackyn_server.errors import RateLimited, SignInRequired

HERE, ELSEWHERE = ClientNetwork("203.0.113.7"), ClientNetwork("203.0.113.8")
RATES = RatesSettings(free_failures=3, failure_pause_seconds=2, failure_pause_longest_seconds=100)


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


class Guesser:
    def __init__(self) -> None:
        self.clock = Clock()
        self.attempts = FailedAttempts(RATES, self.clock)

    def fail(self, account: str = "a@b.test", network: ClientNetwork = HERE) -> int:
        """Fail once; returns the seconds to wait instead, where it is not possible now."""
        try:
            with self.attempts.attempt(account, network, (SignInRequired,)):
                raise SignInRequired("no")
        except RateLimited as refusal:
            return int(str(refusal.details["retry_after_seconds"]))
        except SignInRequired:
            return 0

    def succeed(self, network: ClientNetwork = HERE) -> None:
        with self.attempts.attempt("a@b.test", network, (SignInRequired,)):
            pass


def test_each_failure_after_the_free_ones_doubles_the_pause() -> None:
    guesser, pauses = Guesser(), []
    assert [guesser.fail() for _ in range(4)] == [0, 0, 0, 0]
    for _ in range(8):
        pauses.append(guesser.fail())
        guesser.clock.now += pauses[-1]
        assert guesser.fail() == 0
    assert pauses == [2, 4, 8, 16, 32, 64, 100, 100]


def test_another_network_and_another_account_are_not_paused() -> None:
    guesser = Guesser()
    for _ in range(4):
        guesser.fail()
    assert guesser.fail() > 0
    guesser.succeed(ELSEWHERE)
    assert guesser.fail("other@b.test") == guesser.fail(network=ELSEWHERE) == 0


def test_a_success_forgets_the_failures_before_it() -> None:
    guesser = Guesser()
    guesser.fail(), guesser.fail()
    guesser.succeed()
    assert [guesser.fail() for _ in range(4)] == [0, 0, 0, 0]


def test_what_fails_for_another_reason_is_not_counted() -> None:
    guesser = Guesser()
    for _ in range(9):
        with pytest.raises(ValueError), guesser.attempts.attempt("a@b.test", HERE, (SignInRequired,)):
            raise ValueError
    assert guesser.fail() == 0


def test_attempts_at_the_same_time_count_while_they_run() -> None:
    guesser = Guesser()
    for _ in range(3):
        guesser.fail()
    with guesser.attempts.attempt("a@b.test", HERE, (SignInRequired,)):
        assert guesser.fail() == 2


def test_the_longest_unused_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_attempts, "_MOST_KEPT", 2)
    guesser = Guesser()
    for _ in range(4):
        guesser.fail()
    assert guesser.fail() > 0
    guesser.fail("second@b.test"), guesser.fail("third@b.test")
    assert guesser.fail() == 0


def test_a_day_later_everything_is_forgotten() -> None:
    guesser = Guesser()
    for _ in range(5):
        guesser.fail()
        guesser.clock.now += 10
    guesser.clock.now += 24 * 3600 + 1
    assert [guesser.fail() for _ in range(3)] == [0, 0, 0]
