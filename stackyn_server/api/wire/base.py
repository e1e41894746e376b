"""What all bodies share: strict types coming in, unknown keys ignored; exact keys going out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AliasPath, BaseModel, BeforeValidator, ConfigDict, Field

from stackyn_server.api.wire.codes import Code
from stackyn_server.domain.text import is_storable

LONGEST_TEXT = 65_536


def _storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError("has characters that can't be kept: NUL, or half of one")
    return text


Text = Annotated[str, AfterValidator(_storable), Field(max_length=LONGEST_TEXT)]
Id = Annotated[str, BeforeValidator(str)]  # a number or UUID of ours that the contract has as text


class RequestBody(BaseModel):
    """A request body. `null` for an optional key counts as absent."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", hide_input_in_errors=True)

    def has_a_guess(self) -> bool:
        """Say whether it shows a password or a code, which may be wrong and tried again and again."""
        return False


class AccountRequestBody(RequestBody):
    """A body that names the account it is about, so that attempts are counted for that account too."""

    email: Text

    @property
    def rate_subject(self) -> str:
        return self.email.strip().lower()


class Query(BaseModel):
    """Query parameters. They arrive as text, so numbers are read from it."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class ResponseBody(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True)

    @classmethod
    def from_view(cls, view: object) -> Self:
        """Return the body whose fields are the attributes of `view` with their names, or with those in `read_from`."""
        return cls.model_validate(view, from_attributes=True)

    def status_instead(self) -> int | None:
        """Return the status to answer with when it is not the usual one of the route."""
        return None


def read_from(attribute: str) -> Any:
    """A key that `from_view` reads from an attribute of another name; dots lead into the attribute's value."""
    return Field(validation_alias=AliasPath(*attribute.split(".")))


def rounded(digits: int) -> AfterValidator:
    return AfterValidator(lambda number: round(number, digits))


def left_out_when_none(**options: Any) -> Any:
    """A key that an answer only has when there is a value."""
    is_none: Callable[[Any], bool] = lambda value: value is None  # noqa: E731
    return Field(default=None, exclude_if=is_none, **options)


class Message(ResponseBody):
    message: str


class Error(ResponseBody):
    """Every failed request: `error` is one sentence for a person, `code` is stable."""

    error: str = Field(min_length=1)
    code: Code
    request_id: str
    details: dict[str, Any] | None = left_out_when_none()
    billing_status: str | None = left_out_when_none(description="With 402 only.")
