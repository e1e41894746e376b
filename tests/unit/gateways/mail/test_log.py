"""The log is read by more people than a mail is."""

from __future__ import annotations

import pytest
import structlog.testing

from stackyn_server.gateways.mail.log import LogCarrier
from stackyn_server.gateways.mail.templates import MailTemplate, compose

CODE = "271828"


@pytest.mark.parametrize("shows_codes", [False, True])
@pytest.mark.parametrize("template", [MailTemplate.SIGN_IN_CODE, MailTemplate.RESET_CODE])
async def test_a_code_is_logged_by_a_development_server_alone(
    template: MailTemplate, shows_codes: bool
) -> None:
    mail = compose(template, "key", "ada@example.test", {"code": CODE, "minutes": "10"})
    with structlog.testing.capture_logs() as records:
        await LogCarrier(shows_codes=shows_codes).send(mail)
    assert (CODE in str(records)) is shows_codes
    assert "ada@example.test" in str(records) and "10 minutes" in str(records)
    assert CODE in mail.text and CODE in mail.html and CODE not in repr(mail)
