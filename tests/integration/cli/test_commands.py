"""The `stackyn` command as an operator uses it, over real data directories."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from stackyn_server import config, server
from stackyn_server.cli import admin
from stackyn_server.cli.main import main
from stackyn_server.domain.scopes import OF_TOKENS
from stackyn_server.postgres.embedded import EmbeddedPostgres, is_running
from stackyn_server.security.passwords import Passwords
from stackyn_server.store import accounts, sessions, tokens
from stackyn_server.store.accounts import Account, NewAccount
from stackyn_server.store.database import Database

EMAIL = "first@example.test"


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.fixture
def stackyn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command in this process and say how it ended."""

    def run(*arguments: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", ["stackyn", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Ended(int(ended.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def config_file(cluster_dir: Path) -> Path:
    """A config.toml whose data directory is this test's own."""
    path = cluster_dir / "config.toml"
    path.write_text(f'[server]\ndata_dir = "{cluster_dir}/data"\n')
    return path


def data_dir_of(config_file: Path) -> Path:
    return config_file.parent / "data"


async def account_of(data_dir: Path, email: str) -> Account | None:
    postgres = EmbeddedPostgres(data_dir, config.DatabaseSettings())
    try:
        url = await postgres.start()
        database = await Database.open(url, config.DatabaseSettings(), application_name="cli test")
        async with database.connection() as connection:
            account = await accounts.by_email(connection, email)
        await database.close()
        return account
    finally:
        await postgres.stop()


def fits(password: str, account: Account | None) -> bool:
    assert account is not None
    return asyncio.run(Passwords().verify(password, account.password_hash)).is_right


def test_a_wrong_setting_is_one_line_with_file_line_and_reason(stackyn: Command, tmp_path: Path) -> None:
    wrong = tmp_path / "config.toml"
    wrong.write_text("[server]\nport = 8081\nprot = 8080\n")
    for command in (
        ["config", "check"],
        ["serve"],
        ["migrate"],
        ["doctor"],
        ["admin", "create", "--email", EMAIL],
    ):
        ended = stackyn(*command, "--config", wrong)
        assert (ended.code, ended.out) == (78, "")
        assert ended.err.count("\n") == 1
        assert ended.err.startswith(f"{wrong}, line 3: server.prot:"), ended.err


def test_right_settings_are_said_to_be(stackyn: Command, config_file: Path) -> None:
    assert stackyn("config", "check", "--config", config_file) == Ended(0, f"{config_file} is fine.\n", "")


def test_serve_hands_over_to_the_server_and_ends_as_it_does(
    stackyn: Command, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Path | None, bool]] = []

    def run(path: Path | None, take_over: bool) -> int:
        calls.append((path, take_over))
        return 75

    monkeypatch.setattr(server, "run", run)
    assert stackyn("serve", "--config", config_file, "--take-over").code == 75
    assert stackyn("serve", "--config", config_file).code == 75
    assert calls == [(config_file, True), (config_file, False)]


def test_migrate_says_what_it_applied_once(stackyn: Command, config_file: Path) -> None:
    first = stackyn("migrate", "--config", config_file)
    assert first.code == 0 and first.out.startswith("Applied 0001_first.sql.\n")
    assert stackyn("migrate", "--config", config_file) == Ended(0, "The tables are up to date.\n", "")
    assert not is_running(data_dir_of(config_file))


def test_the_first_admin_gets_a_password_that_is_shown_once(stackyn: Command, config_file: Path) -> None:
    ended = stackyn("admin", "create", "--email", EMAIL, "--config", config_file)
    assert ended.code == 0, ended.err
    sentence, shown = ended.out.splitlines()
    assert sentence == f"{EMAIL} is an admin."
    password = shown.removeprefix("Password (shown only now): ")
    account = asyncio.run(account_of(data_dir_of(config_file), EMAIL))
    assert account is not None and account.is_admin and account.plan == config.BillingSettings().admin_plan
    assert fits(password, account)
    again = stackyn("admin", "create", "--email", EMAIL.upper(), "--config", config_file)
    assert again.out.splitlines()[1] == "The account keeps its password."


def test_a_reset_password_comes_from_a_file_or_is_made(stackyn: Command, config_file: Path) -> None:
    file = config_file.parent / "password"
    file.write_text("first password\nnot this line\n")
    options = ["--email", EMAIL, "--config", str(config_file)]
    ended = stackyn("admin", "create", *options, "--password-file", file)
    assert (ended.code, ended.out) == (0, f"{EMAIL} is an admin.\n")
    assert fits("first password", asyncio.run(account_of(data_dir_of(config_file), EMAIL)))
    reset = stackyn("admin", "reset-password", *options)
    password = reset.out.splitlines()[1].removeprefix("Password (shown only now): ")
    account = asyncio.run(account_of(data_dir_of(config_file), EMAIL))
    assert fits(password, account) and not fits("first password", account)


async def test_a_reset_ends_sessions_and_tokens_and_is_mailed(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    settings = config.Settings(
        server=config.ServerSettings(data_dir=tmp_path), database=config.DatabaseSettings(url=database_url)
    )
    async with database.transaction() as connection:
        new = NewAccount(email=EMAIL, plan="pro", email_verified=True)
        account = await accounts.insert(connection, new)
        await sessions.open_session(connection, account.id, lifetime_seconds=60)
        await tokens.insert(
            connection, account.id, name="ci", token_hash=b"hash", expires_at=None, scopes=OF_TOKENS, app=None
        )
    await admin.reset_account(settings, EMAIL, "a new password")
    async with database.connection() as connection:
        left = await connection.fetchrow(
            "SELECT (SELECT count(*) FROM api_token), (SELECT count(*) FROM session WHERE ended_at IS NULL), "
            "(SELECT count(*) FROM job WHERE kind = 'mail'), (SELECT action FROM audit)"
        )
    assert left is not None and tuple(left) == (0, 0, 1, "password.reset")


def test_a_reset_for_nobody_or_a_short_password_is_refused(stackyn: Command, config_file: Path) -> None:
    nobody = stackyn("admin", "reset-password", "--email", "nobody@example.test", "--config", config_file)
    assert (nobody.code, nobody.out) == (1, "")
    assert nobody.err == "There is no account with the address nobody@example.test.\n"
    file = config_file.parent / "password"
    file.write_text("short\n")
    options = ["--email", EMAIL, "--config", config_file, "--password-file", file]
    assert stackyn("admin", "reset-password", *options).err == "A password has 8 to 128 characters.\n"
    file.unlink()
    assert stackyn("admin", "create", *options).err == f"The password file {file} can't be read.\n"


def test_a_command_uses_the_database_of_a_running_server(config_file: Path) -> None:
    async def beside_a_server() -> Account | None:
        postgres = EmbeddedPostgres(data_dir_of(config_file), config.DatabaseSettings())
        database = await Database.open(
            await postgres.start(), config.DatabaseSettings(), application_name="server"
        )
        try:
            untouched = await _run("admin", "create", "--email", EMAIL, "--config", str(config_file))
            assert untouched.stderr.decode().startswith("The database's tables are older than this release")
            await _run("migrate", "--config", str(config_file), check=True)
            await _run("admin", "create", "--email", EMAIL, "--config", str(config_file), check=True)
            async with database.connection() as connection:
                return await accounts.by_email(connection, EMAIL)
        finally:
            await database.close()
            await postgres.stop()

    account = asyncio.run(beside_a_server())
    assert account is not None and account.is_admin


def test_detect_prints_the_plan_with_its_dockerfile(stackyn: Command, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("hello")
    ended = stackyn("detect", tmp_path)
    assert ended.code == 0
    assert ended.out.startswith("Runtime: static\n") and "\nFROM stackyn/static:1\n" in ended.out


def test_detect_leaves_out_what_git_ignores(stackyn: Command, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("Dockerfile\n")
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "start.sh").write_text("#!/bin/sh\n")
    assert stackyn("detect", tmp_path).out.startswith("Runtime: shell\n")


def test_detect_passes_over_what_a_deployment_does(stackyn: Command, tmp_path: Path) -> None:
    (tmp_path / "main.go").write_text("package main\n")
    (tmp_path / "generated.go").write_text("package main\n" + "// long\n" * 40_000)
    assert stackyn("detect", tmp_path).out.startswith("Runtime: go\n")


def test_detect_says_what_is_missing(stackyn: Command, tmp_path: Path) -> None:
    (tmp_path / "main.swift").write_text("")
    ended = stackyn("detect", tmp_path)
    assert ended.code == 1 and "mostly Swift" in ended.err and "Add a Dockerfile" in ended.err


def test_version_names_the_release(stackyn: Command) -> None:
    assert stackyn("version").out.startswith("stackyn 2.")


async def _run(*arguments: str, check: bool = False) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "stackyn_server", *arguments]
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, check=check)
