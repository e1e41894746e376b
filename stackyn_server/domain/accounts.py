"""What an e-mail address, a name and a password may be. The rules are those of the API contract, section 2."""

from __future__ import annotations

import re

from stackyn_server.errors import InvalidField

PASSWORD_SHORTEST = 8
PASSWORD_LONGEST = 128
PERSON_NAME_LENGTH = 200
EMAIL_LENGTH = 254  # RFC 5321, section 4.5.3.1.3, without the angle brackets

# Deliberately wider than any mail server's rules: the proof of an address is a mail that arrives.
_EMAIL = re.compile(r"[^@\s<>,;:\"()\[\]\\]{1,64}@[^@\s<>,;:\"()\[\]\\.]+(?:\.[^@\s<>,;:\"()\[\]\\.]+)*")


def valid_email(email: str) -> str:
    """Return the address without outer blanks, or raise `InvalidRequest`. Case is kept, and never decides."""
    email = email.strip()
    if len(email) > EMAIL_LENGTH or not email.isprintable() or not _EMAIL.fullmatch(email):
        raise InvalidField("email", "The e-mail address is not complete.")
    return email


def valid_password(password: str) -> str:
    """Return a password that may be set, or raise `InvalidRequest`."""
    if not PASSWORD_SHORTEST <= len(password) <= PASSWORD_LONGEST:
        raise InvalidField(
            "password", f"A password has {PASSWORD_SHORTEST} to {PASSWORD_LONGEST} characters."
        )
    return password


def valid_person_name(name: str, field: str) -> str:
    """Return the name of a person or company without outer blanks ("" is one), or raise `InvalidRequest`."""
    name = name.strip()
    if len(name) > PERSON_NAME_LENGTH or (name and not name.isprintable()):
        raise InvalidField(field, f"{field} has up to {PERSON_NAME_LENGTH} printable characters.")
    return name
