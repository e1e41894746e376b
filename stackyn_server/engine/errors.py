"""Translate the engine's failures: an outage is retried, a refusal is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from aiodocker import DockerError

from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode, TransientFailure
from stackyn_server.errors import StackynError

_NO_CONNECTION = 900  # aiodocker's own status for "cannot connect"


class EngineUnavailable(TransientFailure):
    """The engine doesn't answer, answered too late, broke off, or reported a fault of its own (5xx, `was_answered`).

    `reason` is the engine's own text: for logs, never for a tenant.
    """

    def __init__(self, reason: str = "", *, was_answered: bool = False) -> None:
        super().__init__(
            Failure(
                FailureCode.ENGINE_UNAVAILABLE,
                "The container engine of this server doesn't answer properly right now.",
                "Nothing needs to be done: it is tried again. If it stays, the operator must look at Docker.",
            )
        )
        self.reason = reason
        self.was_answered = was_answered
        self.add_note(f"The engine: {reason}")  # for the log


class EngineSilent(EngineUnavailable):
    """An open stream of the engine has brought nothing for `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"nothing came for {seconds:g} s")


class EngineRefused(DeploymentFailed):
    """The engine refused a request (4xx). `answer` is the HTTP status, `reason` the engine's text, for logs."""

    was_answered = True

    def __init__(self, answer: int, reason: str, failure: Failure | None = None) -> None:
        super().__init__(
            failure
            or Failure(
                FailureCode.INTERNAL,
                "The container engine of this server refused a request.",
                "Try again. If it happens again, the operator finds the reason in the server's log.",
            )
        )
        self.answer = answer
        self.reason = reason
        self.add_note(f"The engine ({answer}): {reason}")


class Absent(EngineRefused):
    """404: there is no such container, image or network."""


class InUse(EngineRefused):
    """409: the name is taken, or something still uses the object."""


class EngineUnsupported(StackynError):
    """This engine speaks no API version that this server was tested with. Nothing works until one is replaced."""

    code = "ENGINE_UNSUPPORTED"


def refusal(answer: int, reason: str) -> EngineUnavailable | EngineRefused:
    """Return the error for an HTTP answer of 400 or more."""
    if answer >= 500:
        return EngineUnavailable(reason, was_answered=True)
    if answer == 404:
        return Absent(answer, reason)
    if answer == 409:
        return InUse(answer, reason)
    return EngineRefused(answer, reason)


@contextmanager
def translated() -> Iterator[None]:
    """Translate errors of aiodocker and aiohttp into those of this module. Wrap only calls of these two libraries."""
    try:
        yield
    except DockerError as error:
        if error.status == _NO_CONNECTION:
            raise EngineUnavailable(error.message) from error
        raise refusal(error.status, error.message) from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise EngineUnavailable(f"{type(error).__name__}: {error}") from error
