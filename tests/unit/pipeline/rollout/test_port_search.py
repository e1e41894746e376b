"""The expected port, or another one that had its chance to be overtaken. Each story is a list of looks, 5 s apart."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from stackyn_server.engine.http_probe import ProbeReply
from stackyn_server.engine.sockets import ListeningSocket
from stackyn_server.pipeline.rollout.port_search import Look, PortSearch

STEP, PATIENCE = 5.0, 30.0
OK, ERROR, MUTE = ProbeReply(True, 200), ProbeReply(True, 404), ProbeReply(False)
LOCAL = ListeningSocket(ip_address("127.0.0.1"), 8080, True)


def at(port: int) -> ListeningSocket:
    return ListeningSocket(ip_address("0.0.0.0"), port, False)


def seen(
    replies: dict[int, ProbeReply], *more: ListeningSocket
) -> tuple[dict[int, ProbeReply], tuple[ListeningSocket, ...]]:
    return replies, (*map(at, replies), *more)


NOTHING = seen({})


def chosen_at(
    search: PortSearch, story: list[tuple[dict[int, ProbeReply], tuple[ListeningSocket, ...]]]
) -> tuple[int | None, float | None]:
    """Return the first port that was chosen, and when."""
    for number, (replies, listeners) in enumerate(story):
        port = search.choose(Look(number * STEP, replies, listeners))
        if port is not None:
            return port, number * STEP
    return None, None


@pytest.mark.parametrize(
    ("exposed_ports", "story", "expected"),
    [
        # the expected port counts at once, whatever it answers and whatever came before
        ((), [NOTHING, seen({8080: OK})], (8080, 5.0)),
        ((), [seen({8080: ERROR})], (8080, 0.0)),
        ((), [seen({8080: MUTE, 9090: OK})], (8080, 0.0)),
        ((), [*[seen({9090: OK})] * 6, seen({8080: OK, 9090: OK})], (8080, 30.0)),
        # one other port, alone, for as long as patience says
        ((), [seen({3000: OK})] * 7, (3000, 30.0)),
        ((), [*[seen({3000: OK})] * 3, NOTHING, *[seen({3000: OK})] * 7], (3000, 50.0)),
        ((), [*[seen({3000: OK})] * 3, *[seen({4000: OK})] * 7], (4000, 45.0)),
        # one that answers with errors only, or not at all, may be anything
        ((), [seen({3000: ERROR})] * 20, (None, None)),
        ((), [seen({3000: MUTE})] * 20, (None, None)),
        # of two, neither is chosen
        ((), [seen({3000: OK}, at(4000))] * 20, (None, None)),
        # the lowest exposed port at once, a higher one only in its absence
        ((5000, 5443), [seen({5000: OK})], (5000, 0.0)),
        ((5000, 5443), [seen({5000: ERROR, 5443: OK})], (5000, 0.0)),
        ((3000, 9090), [*[seen({9090: OK})] * 3, seen({3000: OK, 9090: OK})], (3000, 15.0)),
        ((3000, 9090), [seen({9090: ERROR})] * 7, (9090, 30.0)),
        ((3000, 9090), [seen({3000: MUTE, 9090: OK})] * 7, (9090, 30.0)),
        # one that is not exposed still has to wait
        ((5000, 5443), [seen({3000: OK})] * 7, (3000, 30.0)),
    ],
)
def test_which_port_is_chosen_and_when(
    exposed_ports: tuple[int, ...],
    story: list[tuple[dict[int, ProbeReply], tuple[ListeningSocket, ...]]],
    expected: tuple[int | None, float | None],
) -> None:
    assert chosen_at(PortSearch(8080, exposed_ports, PATIENCE), story) == expected


def test_of_an_image_that_exposes_all_ports_the_lowest_are_asked() -> None:
    search = PortSearch(8080, tuple(range(1, 65_536)), PATIENCE)
    assert search.first_asked == (8080, *range(1, 21))
    assert chosen_at(search, [seen({3000: OK})] * 20) == (3000, 30.0)


def test_a_numbered_release_has_no_other_port() -> None:
    search = PortSearch(8080, (5000,), None)
    assert search.first_asked == (8080,)
    assert search.also_asked((at(3000),)) == ()
    assert chosen_at(search, [seen({3000: OK, 5000: OK})] * 20) == (None, None)


@pytest.mark.parametrize(
    ("story", "port"),
    [
        ([seen({3000: ERROR})] * 7, 3000),
        ([*[NOTHING] * 5, seen({3000: ERROR})], None),  # it came a moment ago
        ([seen({3000: MUTE})] * 7, None),
        ([seen({3000: ERROR}, LOCAL)] * 7, None),  # the app is on its port, where nobody reaches it
        ([seen({3000: ERROR}, at(4000))] * 7, None),
        ([NOTHING], None),
    ],
)
def test_the_only_port_that_answers_serves_in_the_end(
    story: list[tuple[dict[int, ProbeReply], tuple[ListeningSocket, ...]]], port: int | None
) -> None:
    search = PortSearch(8080, (), PATIENCE)
    assert chosen_at(search, story) == (None, None)
    replies, listeners = story[-1]
    assert search.fallback(Look(len(story) * STEP, replies, listeners)) == port


def test_loopback_listeners_are_no_choice() -> None:
    search = PortSearch(8080, (), PATIENCE)
    assert search.also_asked((LOCAL,)) == ()
    assert search.also_asked((LOCAL, at(3000))) == (3000,)
