"""The stable codes of errors: contract section 1. What a deployment fails with is `domain.failures.FailureCode`."""

from __future__ import annotations

from enum import StrEnum, auto


class Code(StrEnum):
    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[str]) -> str:
        return name

    INVALID_REQUEST = auto()
    INVALID_JSON = auto()
    BODY_TOO_LARGE = auto()
    SIGN_IN_REQUIRED = auto()
    SESSION_ENDED = auto()
    FORBIDDEN = auto()
    NOT_FOUND = auto()
    METHOD_NOT_ALLOWED = auto()
    NAME_TAKEN = auto()
    SLUG_TAKEN = auto()
    EMAIL_TAKEN = auto()
    DOMAIN_TAKEN = auto()
    QUOTA_APPS = auto()
    QUOTA_MEMORY = auto()
    QUOTA_DISK = auto()
    QUOTA_CPU = auto()
    PLAN_LACKS_FEATURE = auto()
    PAYMENT_REQUIRED = auto()
    RATE_LIMITED = auto()
    CODE_INVALID = auto()
    CODE_EXPIRED = auto()
    CODE_ATTEMPTS = auto()
    NOT_CONFIGURED = auto()
    CONFLICT = auto()
    TEMPORARILY_UNAVAILABLE = auto()
    INTERNAL = auto()


_OF_STATUS = {
    404: Code.NOT_FOUND,
    405: Code.METHOD_NOT_ALLOWED,
    409: Code.CONFLICT,
    413: Code.BODY_TOO_LARGE,
    429: Code.RATE_LIMITED,
    503: Code.TEMPORARILY_UNAVAILABLE,
}


def published(code: str, status: int) -> Code:
    """Return `code` if clients know it (others are for logs and operators), else the one of the status."""
    if code in Code.__members__:
        return Code(code)
    return _OF_STATUS.get(status, Code.INTERNAL if status >= 500 else Code.INVALID_REQUEST)
