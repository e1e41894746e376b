"""Mail over real sockets: an SMTP server and an HTTP service of our own, on loopback."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from stackyn_server import config
from stackyn_server.config import ConfigInvalid
from stackyn_server.gateways.mail.message import Mail, MailRefused, MailUnavailable
from stackyn_server.gateways.mail.provider import choose_carrier
from stackyn_server.gateways.mail.templates import MailTemplate, compose
from stackyn_server.security.secret_files import SecretUnreadable

MAIL = Mail("key-1", "ada@example.test", "Grüße", "Text ✓\n", "<p>Text ✓</p>")
SENDER = "Stackyn <no-reply@example.test>"


@dataclass
class SmtpServer:
    """Speaks as much SMTP as a client needs; `replies` overrides the answer to a verb."""

    replies: dict[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    received: list[EmailMessage] = field(default_factory=list)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 test\r\n")
        while line := (await reader.readline()).decode().strip():
            verb = line.split()[0].upper()
            self.commands.append(line)
            usual = {
                "EHLO": "250-test\r\n250-AUTH PLAIN\r\n250 SMTPUTF8",
                "DATA": "354 go on",
                "QUIT": "221 bye",
                "AUTH": "235 ok",
            }
            writer.write(f"{self.replies.get(verb, usual.get(verb, '250 ok'))}\r\n".encode())
            if verb == "DATA" and verb not in self.replies:
                data = (await reader.readuntil(b"\r\n.\r\n"))[:-3]
                parsed = email.message_from_bytes(data, policy=email.policy.default)
                assert isinstance(parsed, EmailMessage)
                self.received.append(parsed)
                writer.write(b"250 taken\r\n")
            if verb == "QUIT":
                break
        writer.close()


@asynccontextmanager
async def smtp_server(**replies: str) -> AsyncIterator[SmtpServer]:
    server = SmtpServer(replies)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server


def smtp(port: int, **values: Any) -> config.MailSettings:
    return config.MailSettings(
        provider="smtp", sender=SENDER, smtp_host="127.0.0.1", smtp_port=port, smtp_tls="none", **values
    )


async def test_smtp_hands_over_both_parts_under_a_fixed_id(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    await asyncio.to_thread(secret.write_text, "hunter2\n")
    async with smtp_server() as server:
        carrier = choose_carrier(smtp(server.port, smtp_user="stackyn", smtp_password_file=str(secret)))
        await carrier.send(MAIL)
        await carrier.send(MAIL)
    first, second = server.received
    assert (first["To"], first["Subject"], first["From"]) == (MAIL.to, MAIL.subject, SENDER)
    assert first["Message-ID"] == second["Message-ID"] == "<key-1@example.test>"
    text, html = first.get_body(("plain",)), first.get_body(("html",))
    assert text is not None and text.get_content().splitlines() == MAIL.text.splitlines()
    assert html is not None and html.get_content().strip() == MAIL.html
    assert any(line.startswith("AUTH PLAIN") for line in server.commands)


async def test_an_address_outside_ascii_is_handed_over_too() -> None:
    async with smtp_server() as server:
        await choose_carrier(smtp(server.port)).send(Mail("k", "ü@example.test", "s", "t", "h"))
    assert server.received[0]["To"] == "ü@example.test"


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        ({"RCPT": "550 no such user"}, MailRefused),
        ({"DATA": "554 spam"}, MailRefused),
        ({"MAIL": "451 later"}, MailUnavailable),
        ({"DATA": "421 busy"}, MailUnavailable),
    ],
)
async def test_smtp_tells_for_ever_from_for_now(replies: dict[str, str], error: type[Exception]) -> None:
    async with smtp_server(**replies) as server:
        with pytest.raises(error):
            await choose_carrier(smtp(server.port)).send(MAIL)


async def test_a_mail_server_that_is_away_is_for_now(unused_tcp_port: int) -> None:
    with pytest.raises(MailUnavailable):
        await choose_carrier(smtp(unused_tcp_port)).send(MAIL)


@asynccontextmanager
async def resend_service(status: int) -> AsyncIterator[tuple[str, list[Any]]]:
    received: list[Any] = []

    async def emails(request: web.Request) -> web.Response:
        received.append((dict(request.headers), await request.json()))
        return web.json_response({"id": "1"}, status=status)

    app = web.Application()
    app.router.add_post("/emails", emails)
    async with TestServer(app) as server:
        yield str(server.make_url("/emails")), received


@pytest.mark.parametrize(
    ("status", "error"),
    [(200, None), (422, MailRefused), (401, MailUnavailable), (429, MailUnavailable), (500, MailUnavailable)],
)
async def test_resend_gets_the_key_that_makes_repetitions_harmless(
    tmp_path: Path, status: int, error: type[Exception] | None
) -> None:
    secret = tmp_path / "key"
    await asyncio.to_thread(secret.write_text, "re_123\n")
    async with resend_service(status) as (url, received):
        settings = config.MailSettings(
            provider="resend", sender=SENDER, resend_url=url, resend_key_file=str(secret)
        )
        carrier = choose_carrier(settings)
        if error is None:
            await carrier.send(MAIL)
        else:
            with pytest.raises(error):
                await carrier.send(MAIL)
    headers, body = received[0]
    assert (headers["Idempotency-Key"], headers["Authorization"]) == ("key-1", "Bearer re_123")
    assert body == {
        "from": SENDER,
        "to": [MAIL.to],
        "subject": MAIL.subject,
        "text": MAIL.text,
        "html": MAIL.html,
    }


async def test_a_missing_secret_file_is_retryable_and_named() -> None:
    settings = config.MailSettings(provider="resend", resend_key_file="/nonexistent/key")
    with pytest.raises(SecretUnreadable, match=r"\[mail\] resend_key_file can't be read: No such file"):
        await choose_carrier(settings).send(MAIL)


def test_an_incomplete_provider_is_a_configuration_error() -> None:
    for provider in ("smtp", "resend"):
        with pytest.raises(ConfigInvalid, match=provider):
            choose_carrier(config.MailSettings(provider=provider))


VALUES = {"code": "123456", "minutes": "10", "plan": "<Pro>", "ends": "tomorrow", "when": "today",
          "tokens": "They end.", "name": "<Pro>", "scopes": "read", "apps": "all apps"}  # fmt: skip


@pytest.mark.parametrize("template", MailTemplate)
def test_every_template_has_a_subject_and_both_parts(template: MailTemplate) -> None:
    mail = compose(template, "key", "a@b.test", VALUES)
    assert (
        mail.subject
        and "\n" not in mail.subject
        and mail.text.strip()
        and mail.html.startswith("<!doctype html>")
    )
    assert "$" not in mail.subject + mail.text + mail.html
    assert "<Pro>" not in mail.html
