"""The carrier of `[mail] provider`."""

from __future__ import annotations

from stackyn_server.config import ConfigInvalid, MailSettings
from stackyn_server.gateways.mail.log import LogCarrier
from stackyn_server.gateways.mail.message import Carrier
from stackyn_server.gateways.mail.resend import ResendCarrier
from stackyn_server.gateways.mail.smtp import SmtpCarrier


def choose_carrier(settings: MailSettings, *, shows_codes: bool = False) -> Carrier:
    """Return the configured carrier. Raises `ConfigInvalid` for one that lacks what it needs.

    `shows_codes` is `[auth] development_codes`.
    """
    if settings.provider == "smtp":
        if not settings.smtp_host:
            raise ConfigInvalid('[mail] provider = "smtp" needs smtp_host.')
        return SmtpCarrier(settings)
    if settings.provider == "resend":
        if not settings.resend_key_file:
            raise ConfigInvalid('[mail] provider = "resend" needs resend_key_file.')
        return ResendCarrier(settings)
    return LogCarrier(shows_codes=shows_codes)
