"""`stackyn keys rotate`: everything opens with the new key alone, however often it was killed on the way."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from stackyn_server.domain.ids import AppId, DeploymentId, UserId
from stackyn_server.gateways.mail.templates import MailTemplate
from stackyn_server.jobs.data_directory import DataDirectory
from stackyn_server.pipeline.crash_points import LAST_WORDS, VARIABLE
from stackyn_server.pipeline.rollout import environment
from stackyn_server.security.keys import Keys, load_keys
from stackyn_server.security.registries import open_password, seal_password
from stackyn_server.security.sealing import Sealer
from stackyn_server.security.variables import open_variable, seal_variable
from stackyn_server.services import key_rotation
from stackyn_server.services.key_rotation import KeyRotation
from stackyn_server.services.mail import MailQueue, mail_context
from stackyn_server.store import registries, releases, variables
from stackyn_server.store.database import Database
from stackyn_server.store.failures import StatementRefused
from tests import rows

VARIABLES = 450  # three steps
SECRET = "a value that opens"


@dataclass(frozen=True)
class Secrets:
    """One of each kind, and many variables, all with the same content."""

    database: Database
    directory: Path
    tenant: UserId
    app: AppId
    deployment: DeploymentId

    async def keys(self) -> Keys:
        return await asyncio.to_thread(load_keys, self.directory / "keys")

    async def assert_all_open(self) -> None:
        sealer = Sealer((await self.keys()).sealing)
        async with self.database.connection() as connection:
            stored = await variables.list_of_app(connection, self.app)
            credential = (await registries.of_account(connection, self.tenant))[0]
            release = (await releases.numbered_of_app(connection, self.app))[0]
            mail = await connection.fetchrow("SELECT subject, arguments FROM job WHERE kind = 'mail'")
        assert len(stored) == VARIABLES and mail is not None
        opened = {open_variable(sealer, self.tenant, self.app, row.key, row.sealed) for row in stored}
        opened.add(open_password(sealer, self.tenant, self.app, "ghcr.io", credential.sealed))
        opened |= set(
            environment.unseal(
                sealer, self.tenant, self.app, self.deployment, release.sealed_environment
            ).values()
        )
        content = sealer.open(mail_context(mail["subject"]), base64.b64decode(mail["arguments"]["sealed"]))
        opened.add(json.loads(content)["values"]["code"])
        assert opened == {SECRET}


@pytest.fixture
async def secrets(database: Database, tmp_path: Path) -> Secrets:
    sealer = Sealer((await asyncio.to_thread(load_keys, tmp_path / "keys")).sealing)
    async with database.transaction() as connection:
        app, _ = await rows.a_serving_app(connection)
        release = (await releases.numbered_of_app(connection, app.id))[0]
        sealed = environment.seal(sealer, app.tenant, app.id, release.deployment, {"KEY": SECRET})
        await connection.execute("ALTER TABLE release DISABLE TRIGGER USER")
        await connection.execute("UPDATE release SET sealed_environment = $1", sealed)
        await connection.execute("ALTER TABLE release ENABLE TRIGGER USER")
        for number in range(VARIABLES):
            key = f"KEY_{number}"
            await variables.put(
                connection, app.id, key, seal_variable(sealer, app.tenant, app.id, key, SECRET)
            )
        password = seal_password(sealer, app.tenant, app.id, "ghcr.io", SECRET)
        await registries.put(connection, app.tenant, app.id, host="ghcr.io", username="ada", sealed=password)
        await MailQueue(sealer).put(
            connection, MailTemplate.SIGN_IN_CODE, "a@b.test", {"code": SECRET, "minutes": "10"}
        )
    return Secrets(database, tmp_path, app.tenant, app.id, release.deployment)


async def rotate(secrets: Secrets, database_url: str, *options: str, **environ: str) -> tuple[int, str]:
    """Run the command in a process of its own; returns its exit code and all that it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stackyn_server", "keys", "rotate", *options,
        env={**os.environ, "STACKYN_DATABASE__URL": database_url,
             "STACKYN_SERVER__DATA_DIR": str(secrets.directory), **environ},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


@pytest.mark.parametrize("point", ["keys.made", "keys.step#2", "keys.sealed"])
async def test_a_killed_rotation_loses_nothing_and_goes_on(
    secrets: Secrets, database_url: str, point: str
) -> None:
    code, output = await rotate(secrets, database_url, **{VARIABLE: point})
    assert code == -9 and LAST_WORDS in output
    assert set((await secrets.keys()).sealing) == {1, 2}, "the old key stays as long as something needs it"
    await secrets.assert_all_open()
    resumed = await KeyRotation(secrets.database, secrets.directory / "keys").run()
    assert (resumed.key, resumed.was_interrupted, resumed.removed_keys) == (2, True, [1])
    assert set((await secrets.keys()).sealing) == {2}
    await secrets.assert_all_open()


async def test_the_command_says_what_it_did(secrets: Secrets, database_url: str) -> None:
    signing = (await secrets.keys()).signing
    code, output = await rotate(secrets, database_url, "--sessions")
    assert code == 0, output
    assert f"Sealed anew: {VARIABLES} variables." in output and "1 environments of releases" in output
    assert "Key 2 seals from now on. Removed keys: 1." in output
    assert set((await secrets.keys()).sealing) == {2} and (await secrets.keys()).signing != signing
    await secrets.assert_all_open()


async def test_beside_a_running_server_it_is_refused(secrets: Secrets, database_url: str) -> None:
    server = await DataDirectory.acquire(secrets.directory)
    try:
        code, output = await rotate(secrets, database_url)
    finally:
        server.release()
    assert code == 75 and "Stop it for the rotation" in output
    assert set((await secrets.keys()).sealing) == {1}


async def test_what_no_key_opens_keeps_the_old_keys(secrets: Secrets) -> None:
    async with secrets.database.transaction() as connection:
        broken = await connection.fetchval(
            "UPDATE variable SET sealed = sealed || 'x' WHERE key = 'KEY_7' RETURNING id"
        )
    rotation = await KeyRotation(secrets.database, secrets.directory / "keys").run()
    assert rotation.broken == {key_rotation.Place.VARIABLES: [broken]} and not rotation.removed_keys
    assert set((await secrets.keys()).sealing) == {1, 2}


async def test_a_release_changes_in_nothing_but_its_key(secrets: Secrets) -> None:
    refused = pytest.raises(StatementRefused)
    with refused:
        async with secrets.database.transaction() as connection:
            await connection.execute("UPDATE release SET sealed_environment = 'other'")
    with refused:
        async with secrets.database.transaction() as connection:
            await connection.execute("SELECT set_config('stackyn.reseals', 'on', true)")
            await connection.execute("UPDATE release SET image = 'other'")
