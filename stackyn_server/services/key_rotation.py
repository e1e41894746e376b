"""Seals everything anew under a new key, in steps that are each a transaction; killed in between, it goes on.

The order is what makes that safe: the key is on the disk before anything is sealed with it, and the old ones go when
nothing is left that they open. No server runs meanwhile (the caller holds the data directory): it has its keys in
memory, and would go on sealing with the old one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stackyn_server.pipeline.crash_points import crash_point
from stackyn_server.pipeline.rollout.environment import environment_context
from stackyn_server.security.keys import add_sealing_key, load_keys, remove_sealing_keys
from stackyn_server.security.registries import password_context
from stackyn_server.security.sealing import SealBroken, Sealer
from stackyn_server.security.variables import variable_context
from stackyn_server.services.mail import mail_context
from stackyn_server.store import sealed
from stackyn_server.store.database import Database, Record
from stackyn_server.store.sealed import Place

ROWS_AT_ONCE = 200

# What a value is sealed for, from the row that it stands in.
_CONTEXTS: Mapping[Place, Callable[[Record], str]] = {
    Place.VARIABLES: lambda row: variable_context(row["tenant"], row["app"], row["key"]),
    Place.CREDENTIALS: lambda row: password_context(row["account"], row["app"], row["host"]),
    Place.RELEASES: lambda row: environment_context(row["tenant"], row["app"], row["deployment"]),
    Place.MAILS: lambda row: mail_context(row["subject"]),
}
# The tests of this module pass these; a server never does.
_KEY_MADE, _STEP_DONE, _ALL_SEALED = "keys.made", "keys.step", "keys.sealed"


@dataclass(slots=True)
class Rotation:
    """How far it got. `broken` values can't be opened with any key; they stay, and so do the old keys."""

    key: int
    was_interrupted: bool
    sealed: dict[Place, int] = field(default_factory=dict)
    broken: dict[Place, list[int]] = field(default_factory=dict)
    removed_keys: list[int] = field(default_factory=list)


class KeyRotation:
    def __init__(self, database: Database, keys_directory: Path) -> None:
        self._database = database
        self._directory = keys_directory

    async def run(self) -> Rotation:
        """Raises `KeysUnusable`. More than one key means that an earlier run was interrupted: it goes on with that."""
        rotation = await asyncio.to_thread(self._newest_key)
        crash_point(_KEY_MADE)
        sealer = Sealer((await asyncio.to_thread(load_keys, self._directory)).sealing)
        for place in Place:
            await self._reseal(place, sealer, rotation)
        crash_point(_ALL_SEALED)
        if not rotation.broken:
            rotation.removed_keys = await asyncio.to_thread(
                remove_sealing_keys, self._directory, apart_from=rotation.key
            )
        return rotation

    def _newest_key(self) -> Rotation:
        keys = load_keys(self._directory).sealing
        if len(keys) > 1:
            return Rotation(max(keys), was_interrupted=True)
        return Rotation(add_sealing_key(self._directory), was_interrupted=False)

    async def _reseal(self, place: Place, sealer: Sealer, rotation: Rotation) -> None:
        above = done = 0
        broken: list[int] = []
        while True:
            async with self._database.transaction() as connection:
                rows = await sealed.lock_others(
                    connection, place, above=above, apart_from_key=rotation.key, limit=ROWS_AT_ONCE
                )
                if not rows:
                    break
                renewed = {}
                for each in rows:
                    context = _CONTEXTS[place](each.row)
                    try:
                        renewed[each.id] = sealer.seal(context, sealer.open(context, each.value))
                    except SealBroken:
                        broken.append(each.id)
                await sealed.replace(connection, place, renewed)
            above, done = rows[-1].id, done + len(renewed)
            crash_point(_STEP_DONE)
        rotation.sealed[place] = done
        if broken:
            rotation.broken[place] = broken
