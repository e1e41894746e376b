"""`stackyn admin`: creates the first administrator and resets passwords."""

from __future__ import annotations

import asyncio
import secrets
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from stackyn_server import config_file
from stackyn_server.cli.options import ConfigPath, default_config, open_database
from stackyn_server.config import Settings
from stackyn_server.domain.accounts import valid_email, valid_password
from stackyn_server.errors import InvalidRequest, NotFound
from stackyn_server.security.keys import load_keys
from stackyn_server.security.passwords import Passwords
from stackyn_server.security.sealing import Sealer
from stackyn_server.security.tokens import Tokens
from stackyn_server.services.accounts import Accounts, FirstAdmin
from stackyn_server.services.mail import MailQueue
from stackyn_server.services.reauthentication import Reauthentication
from stackyn_server.services.security_notices import SecurityNotices
from stackyn_server.services.sessions import Sessions
from stackyn_server.store import accounts, audit, sessions, tokens

_GENERATED_PASSWORD_BYTES = 12

app = typer.Typer(help="Accounts, from this machine.", no_args_is_help=True)

Email = Annotated[str, typer.Option("--email", help="The account's e-mail address.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option("--password-file", help="A file whose first line is the password; - reads it from stdin."),
]


@app.command()
def create(email: Email, password_file: PasswordFile = None, config_path: ConfigPath = None) -> None:
    """Make an admin: a new account, or one that is there. Prints a generated password once."""
    settings = config_file.load(config_path or default_config())
    created = asyncio.run(_create(settings, email, _password(password_file)))
    typer.echo(f"{created.account.email} is an admin.")
    if created.password is None:
        typer.echo("The account keeps its password.")
    elif password_file is None:
        typer.echo(f"Password (shown only now): {created.password}")


@app.command("reset-password")
def reset_password(email: Email, password_file: PasswordFile = None, config_path: ConfigPath = None) -> None:
    """Give an account a new password and end its sessions and API tokens. Prints a generated password once."""
    settings = config_file.load(config_path or default_config())
    password = _password(password_file) or secrets.token_urlsafe(_GENERATED_PASSWORD_BYTES)
    asyncio.run(reset_account(settings, valid_email(email), valid_password(password)))
    typer.echo(f"{email} has a new password and is signed out everywhere.")
    if password_file is None:
        typer.echo(f"Password (shown only now): {password}")


async def _create(settings: Settings, email: str, password: str | None) -> FirstAdmin:
    async with open_database(settings) as database:
        keys = await asyncio.to_thread(load_keys, settings.server.data_dir / "keys")
        passwords = Passwords()
        service = Accounts(
            database,
            settings,
            passwords,
            Sessions(database, settings, Tokens(keys.signing)),
            Reauthentication(database, settings, passwords),
            SecurityNotices(MailQueue(Sealer(keys.sealing))),
        )
        return await service.make_admin(email, password)


async def reset_account(settings: Settings, email: str, password: str) -> None:
    """Set the password, end sessions and API tokens, and mail the owner. Raises `NotFound`."""
    password_hash = await Passwords().hash(password)
    keys = await asyncio.to_thread(load_keys, settings.server.data_dir / "keys")
    notices = SecurityNotices(MailQueue(Sealer(keys.sealing)))
    async with open_database(settings) as database, database.transaction() as connection:
        account = await accounts.lock_by_email(connection, email)
        if account is None:
            raise NotFound(f"There is no account with the address {email}.")
        await accounts.prove(connection, account.id)  # the operator vouches for the address
        await accounts.set_profile(connection, account.id, password_hash=password_hash)
        await sessions.end_all(connection, account.id)
        await tokens.delete_all(connection, account.id)
        await notices.password_set(connection, replace(account, email_verified=True), tokens_end=True)
        await audit.append(connection, "password.reset", actor=None, subject=account.id)


def _password(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        text = sys.stdin.readline() if str(file) == "-" else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The password file {file} can't be read.") from error
    return text.partition("\n")[0].rstrip("\r")
