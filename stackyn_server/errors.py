"""The one root error. Every failure that a person may read is a `StackynError` with a sentence for whoever must act."""

from __future__ import annotations

from collections.abc import Mapping


class StackynError(Exception):
    """A failure with a stable code and a readable sentence.

    `message` names the cause and never carries database, git or engine text, a path or a secret.
    `hint` says the next step. `status` is the HTTP status the API answers with. `retryable` says that
    the same thing may succeed later without anybody changing anything.
    """

    code = "INTERNAL"
    status = 500
    retryable = False

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        code: str | None = None,
        status: int | None = None,
        details: Mapping[str, object] | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = dict(details or {})
        if code is not None:
            self.code = code
        if status is not None:
            self.status = status
        if retryable is not None:
            self.retryable = retryable

    @property
    def notes(self) -> str:
        """What was noted for the log alone (`add_note`): the text of another program. "" when there is none."""
        return "; ".join(getattr(self, "__notes__", ()))


class InvalidRequest(StackynError):
    code, status = "INVALID_REQUEST", 400


class InvalidField(InvalidRequest):
    """`field` is the name of the request's field that has the wrong value."""

    def __init__(self, field: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint=hint, details={"field": field})


class SignInRequired(StackynError):
    code, status = "SIGN_IN_REQUIRED", 401


class PaymentRequired(StackynError):
    code, status = "PAYMENT_REQUIRED", 402


class Forbidden(StackynError):
    code, status = "FORBIDDEN", 403


class NotFound(StackynError):
    code, status = "NOT_FOUND", 404


class Conflict(StackynError):
    code, status = "CONFLICT", 409


class RateLimited(StackynError):
    code, status = "RATE_LIMITED", 429


class Unavailable(StackynError):
    """A part that we depend on can't be reached right now: the same request may succeed later."""

    code, status, retryable = "TEMPORARILY_UNAVAILABLE", 503, True
