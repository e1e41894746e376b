"""Whose word counts for the port that an app is told."""

from __future__ import annotations

import pytest

from stackyn_server.domain.ports import expected_port


@pytest.mark.parametrize(
    ("chosen", "exposed", "planned", "port"),
    [
        (3000, (5000,), 8000, 3000),  # the owner's
        (None, (5000,), 8000, 5000),  # the image's only one, inherited or not
        (None, (5000, 5443), 8000, 8000),  # several say nothing
        (None, (), 8000, 8000),  # the plan's
        (None, (80, 443), None, 8080),
        (None, (), None, 8080),
    ],
)
def test_the_port_that_an_app_is_told(
    chosen: int | None, exposed: tuple[int, ...], planned: int | None, port: int
) -> None:
    assert expected_port(chosen=chosen, exposed=exposed, planned=planned, default=8080) == port
