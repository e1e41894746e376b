"""The text and the HTML part of each mail template, from `templates/<name>.txt` and `.html`.

The first line of the text part is the subject. `$name` is replaced by a value, which is escaped in HTML.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from enum import StrEnum
from importlib import resources
from string import Template

from stackyn_server.gateways.mail.message import Mail


class MailTemplate(StrEnum):
    SIGN_IN_CODE = "sign_in_code"
    RESET_CODE = "reset_code"
    TRIAL_STARTED = "trial_started"
    TRIAL_ENDED = "trial_ended"
    PAYMENT_FAILED = "payment_failed"
    PASSWORD_SET = "password_set"  # noqa: S105 - the name of a template
    TOKEN_MADE = "token_made"  # noqa: S105


_SECRET_VALUES = frozenset({"code"})
_FOLDER = resources.files("stackyn_server.gateways.mail").joinpath("templates")
# Read on import: later the read would block the event loop.
_PARTS = {
    (template, kind): Template(_FOLDER.joinpath(f"{template.value}.{kind}").read_text("utf-8"))
    for template in MailTemplate
    for kind in ("txt", "html")
}


def compose(template: MailTemplate, key: str, to: str, values: Mapping[str, str]) -> Mail:
    """Return the mail. Raises KeyError when a value of the template is missing."""
    text = _PARTS[template, "txt"].substitute(values)
    markup = _PARTS[template, "html"].substitute({name: html.escape(value) for name, value in values.items()})
    subject, _, body = text.partition("\n")
    secrets = tuple(value for name, value in values.items() if name in _SECRET_VALUES)
    return Mail(key, to, subject.strip(), body.lstrip("\n"), markup, secrets)
