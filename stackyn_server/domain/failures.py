"""Why a deployment failed: the contract's failure codes, and the value that explains one to the tenant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from stackyn_server.domain.text import storable
from stackyn_server.errors import StackynError


class FailureCode(StrEnum):
    SOURCE_UNREACHABLE = "SOURCE_UNREACHABLE"
    SOURCE_REFUSED = "SOURCE_REFUSED"
    REF_NOT_FOUND = "REF_NOT_FOUND"
    SOURCE_EMPTY = "SOURCE_EMPTY"
    SOURCE_TOO_LARGE = "SOURCE_TOO_LARGE"
    NOTHING_DETECTED = "NOTHING_DETECTED"
    DOCKERFILE_INVALID = "DOCKERFILE_INVALID"
    BUILD_FAILED = "BUILD_FAILED"
    BUILD_OUT_OF_MEMORY = "BUILD_OUT_OF_MEMORY"
    BUILD_TIMEOUT = "BUILD_TIMEOUT"
    BUILD_DISK = "BUILD_DISK"
    VERSION_UNAVAILABLE = "VERSION_UNAVAILABLE"
    IMAGE_REFUSED = "IMAGE_REFUSED"
    RELEASE_FAILED = "RELEASE_FAILED"
    APP_EXITED = "APP_EXITED"
    APP_OUT_OF_MEMORY = "APP_OUT_OF_MEMORY"
    APP_NOT_LISTENING = "APP_NOT_LISTENING"
    APP_ON_LOOPBACK_ONLY = "APP_ON_LOOPBACK_ONLY"
    APP_WRONG_PORT = "APP_WRONG_PORT"
    APP_UNHEALTHY = "APP_UNHEALTHY"
    SWITCH_FAILED = "SWITCH_FAILED"
    NO_MEMORY = "NO_MEMORY"
    NO_DISK = "NO_DISK"
    ENGINE_UNAVAILABLE = "ENGINE_UNAVAILABLE"
    INTERNAL = "INTERNAL"


# Bytes of UTF-8. Sentences are short by nature, unless they name something of the tenant's.
_MOST_SENTENCE, _MOST_EVIDENCE = 4_096, 65_536


@dataclass(frozen=True, slots=True)
class Failure:
    """What the tenant is told. `message` is one sentence with the cause, `hint` the next step, `evidence` raw lines."""

    code: FailureCode
    message: str
    hint: str = ""
    evidence: str = ""

    @classmethod
    def from_json(cls, stored: Mapping[str, str]) -> Failure:
        return cls(FailureCode(stored["code"]), stored["message"], stored["hint"], stored["evidence"])

    def as_json(self, phase: str) -> dict[str, str]:
        return {
            "code": self.code.value,
            "phase": phase,
            "message": storable(self.message, _MOST_SENTENCE),
            "hint": storable(self.hint, _MOST_SENTENCE),
            "evidence": storable(self.evidence, _MOST_EVIDENCE),
        }


class DeploymentFailed(StackynError):
    """A step can't succeed, and trying again would not change that. Raised by any package; ends the deployment."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message, hint=failure.hint, code=failure.code.value)
        self.failure = failure

    @classmethod
    def of(cls, code: FailureCode, message: str, hint: str = "", evidence: str = "") -> Self:
        return cls(Failure(code, message, hint, evidence))


class TransientFailure(DeploymentFailed):
    """The same step may succeed later, so it is retried; `failure` is what the tenant reads when the attempts are
    used up, and `message` the reason for waiting until then."""

    retryable = True
