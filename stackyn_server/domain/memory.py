"""Whether this machine has the memory to start an app beside what runs already, and what a build gets of it. All
numbers in MiB."""

from __future__ import annotations

from enum import StrEnum


class RolloutChoice(StrEnum):
    """How a release takes over."""

    SIDE_BY_SIDE = "beside"  # both run for a moment; no request fails
    IN_PLACE = "in_place"  # the old one ends first; requests are held meanwhile
    WAIT = "wait"  # not now


def fits_in_memory(available_mb: int, reserve_mb: int, wanted_mb: int) -> bool:
    """`available_mb` is what the kernel can give without swapping, `wanted_mb` the limit of what is to start."""
    return available_mb - reserve_mb >= wanted_mb


def build_mb(asked_mb: int | None, usual_mb: int, plan_mb: int, machine_mb: int) -> int:
    """Return what a build may use: what is asked for, as far as the billing plan and the machine allow. Everybody may
    have the usual amount."""
    return min(asked_mb or usual_mb, max(plan_mb, usual_mb), max(machine_mb, usual_mb))


def choose_strategy(
    available_mb: int, reserve_mb: int, wanted_mb: int, serving_mb: int | None, *, may_hold: bool
) -> RolloutChoice:
    """Decide how a release of `wanted_mb` takes over from one that may use `serving_mb` (None: nothing serves).

    A rollout in place needs only the memory by which the new limit exceeds the old one.
    """
    if fits_in_memory(available_mb, reserve_mb, wanted_mb):
        return RolloutChoice.SIDE_BY_SIDE
    if serving_mb is None or not may_hold:
        return RolloutChoice.WAIT
    more_mb = wanted_mb - serving_mb
    is_enough = more_mb <= 0 or fits_in_memory(available_mb, reserve_mb, more_mb)
    return RolloutChoice.IN_PLACE if is_enough else RolloutChoice.WAIT
