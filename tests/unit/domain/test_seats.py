"""Every app has two addresses that are nobody else's."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackyn_server.config import LONGEST_APP_PREFIX
from stackyn_server.domain.seats import SEATS_PER_BRIDGE, address_of, bridge_of, seats_in

SUBNET = IPv4Network("10.213.0.0/16")
SEATS = st.integers(0, seats_in(SUBNET) - 1)


def test_a_sixteen_bit_subnet_has_room_for_sixteen_thousand_apps() -> None:
    assert seats_in(SUBNET) == 16_000


def test_the_smallest_subnet_that_is_accepted_has_room() -> None:
    assert seats_in(IPv4Network(("10.213.0.0", LONGEST_APP_PREFIX))) == SEATS_PER_BRIDGE


@given(SEATS, SEATS, st.integers(0, 1), st.integers(0, 1))
def test_no_two_seats_share_an_address(
    first_seat: int, second_seat: int, first_slot: int, second_slot: int
) -> None:
    same = (first_seat, first_slot) == (second_seat, second_slot)
    assert (
        address_of(SUBNET, first_seat, first_slot) == address_of(SUBNET, second_seat, second_slot)
    ) == same


@given(SEATS, st.integers(0, 1))
def test_an_address_is_outside_gateway_and_dynamic_range(seat: int, slot: int) -> None:
    bridge, address = bridge_of(SUBNET, seat), address_of(SUBNET, seat, slot)
    assert address in bridge.subnet
    assert address not in bridge.dynamic_range
    assert address not in (bridge.gateway, bridge.subnet.broadcast_address, bridge.subnet.network_address)
    assert bridge.gateway in bridge.dynamic_range


@given(SEATS)
def test_bridges_do_not_overlap(seat: int) -> None:
    here, there = bridge_of(SUBNET, seat), bridge_of(SUBNET, (seat + SEATS_PER_BRIDGE) % seats_in(SUBNET))
    assert not here.subnet.overlaps(there.subnet)


@pytest.mark.parametrize(("seat", "slot"), [(-1, 0), (16_000, 0), (0, 2), (0, -1)])
def test_what_does_not_exist_has_no_address(seat: int, slot: int) -> None:
    with pytest.raises(ValueError):
        address_of(SUBNET, seat, slot)
