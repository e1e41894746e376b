"""Mail by SMTP (RFC 5321), in a thread. The Message-ID is made of the mail's key, so that repetitions show."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import formatdate, parseaddr

from stackyn_server.config import MailSettings
from stackyn_server.gateways.mail.message import Mail, MailRefused, MailUnavailable
from stackyn_server.security.secret_files import read_secret

_ANSWER_SECONDS = 30.0
_PERMANENT = 500  # SMTP reply codes from here on say: do not try again


class SmtpCarrier:
    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings

    async def send(self, mail: Mail) -> None:
        await asyncio.to_thread(self._send, mail)

    def _send(self, mail: Mail) -> None:
        message = self._message(mail)
        try:
            with self._connected() as connection:
                connection.send_message(message)
        except (smtplib.SMTPRecipientsRefused, smtplib.SMTPNotSupportedError) as error:
            raise MailRefused("The mail server refused the address.") from error
        except smtplib.SMTPResponseException as error:
            if error.smtp_code >= _PERMANENT and not isinstance(error, smtplib.SMTPAuthenticationError):
                raise MailRefused("The mail server refused the mail.") from error
            raise MailUnavailable("The mail server did not take the mail.") from error
        except (smtplib.SMTPException, OSError) as error:
            raise MailUnavailable("The mail server can't be reached.") from error

    def _connected(self) -> smtplib.SMTP:
        host, port = self._settings.smtp_host, self._settings.smtp_port
        if self._settings.smtp_tls == "tls":
            context = ssl.create_default_context()
            connection: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=_ANSWER_SECONDS, context=context)
        else:
            connection = smtplib.SMTP(host, port, timeout=_ANSWER_SECONDS)
        try:
            if self._settings.smtp_tls == "starttls":
                connection.starttls(context=ssl.create_default_context())
            if self._settings.smtp_user:
                password = read_secret(self._settings.smtp_password_file, "[mail] smtp_password_file")
                connection.login(self._settings.smtp_user, password)
        except BaseException:
            connection.close()
            raise
        return connection

    def _message(self, mail: Mail) -> EmailMessage:
        name, address = parseaddr(self._settings.sender)
        sender = _address(address, name)
        message = EmailMessage(policy=SMTP if mail.to.isascii() else SMTPUTF8)
        message["From"] = sender
        message["To"] = _address(mail.to)
        message["Subject"] = mail.subject
        message["Date"] = formatdate()
        message["Message-ID"] = f"<{mail.key}@{sender.domain}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: asks for no automatic replies
        message.set_content(mail.text)
        message.add_alternative(mail.html, subtype="html")
        return message


def _address(address: str, name: str = "") -> Address:
    """Build an address from its parts: parsed as a whole, a non-ASCII address would be refused."""
    user, _, domain = address.rpartition("@")
    return Address(name, user, domain)
