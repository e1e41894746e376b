from __future__ import annotations

import pytest

from stackyn_server.domain.accounts import valid_email, valid_password, valid_person_name
from stackyn_server.errors import InvalidRequest


@pytest.mark.parametrize(
    "email", ["a@b.test", " Ada@Example.Test ", "a+b@x.y.z", "root@localhost", "ü@bücher.test"]
)
def test_a_complete_address_is_taken_without_its_blanks(email: str) -> None:
    assert valid_email(email) == email.strip()


@pytest.mark.parametrize(
    "email", ["", "a", "@b.test", "a@", "a@b@c.test", "a b@c.test", "a@b..test", "a@.test", "a@b.test\nBcc: c@d.test",
              "<a@b.test>", "a@b,c", "a" * 65 + "@b.test", "a@" + "b" * 260]
)  # fmt: skip
def test_an_incomplete_address_is_refused(email: str) -> None:
    with pytest.raises(InvalidRequest):
        valid_email(email)


def test_a_password_has_8_to_128_characters() -> None:
    assert valid_password("x" * 8) and valid_password("ü" * 128)
    for password in ("x" * 7, "x" * 129, ""):
        with pytest.raises(InvalidRequest):
            valid_password(password)


def test_a_company_may_have_no_name_but_no_control_characters() -> None:
    assert valid_person_name("  ", "company_name") == ""
    with pytest.raises(InvalidRequest):
        valid_person_name("a\0b", "company_name")
