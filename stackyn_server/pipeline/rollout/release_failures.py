"""Why a release command failed, in sentences for the app's owner. Pure."""

from __future__ import annotations

from stackyn_server.diagnosis.diagnose import diagnose, error_excerpt
from stackyn_server.diagnosis.failure_kind import FailedStep
from stackyn_server.diagnosis.transcript import transcript_of
from stackyn_server.domain.failures import Failure, FailureCode
from stackyn_server.engine.container_state import SIGKILLED, ContainerState

_MORE_MEMORY = "Give the app more memory in its settings, or make the command use less; then deploy again."


def release_failure(ended: ContainerState, output: str, *, was_from_outside: bool = False) -> Failure:
    """Explain a command that did not succeed; `output` is the end of what it wrote."""
    code = ended.exit_code
    printed = transcript_of(output).lines()
    evidence = error_excerpt(printed)
    if ended.out_of_memory:
        message = "The release command was ended because it used more memory than the app is allowed."
        return _failed(message, _MORE_MEMORY, evidence)
    if was_from_outside:
        return _failed(
            f"The release command was ended from outside before it was done (exit code {code}).",
            "Look at what it has done so far, then deploy again: it is not started a second time by itself.",
            evidence,
        )
    if code == SIGKILLED:
        return _failed(
            f"The release command was killed (exit code {SIGKILLED}), most likely because it used more memory than the "
            "app is allowed.",
            _MORE_MEMORY,
            evidence,
        )
    message = f"The release command exited with code {code}."
    if diagnosis := diagnose(printed, FailedStep.START, code):
        return _failed(f"{message} {diagnosis.message}", diagnosis.hint, diagnosis.evidence)
    return _failed(
        message,
        "Correct what its last lines say, then deploy again: this release does not go live.",
        evidence,
    )


def took_too_long(seconds: float, lines: str) -> Failure:
    return _failed(
        f"The release command did not end within {seconds:g} seconds, and was ended.",
        "Make it quicker, or do what takes long outside of the deployment; then deploy again.",
        lines,
    )


def could_not_start(evidence: str) -> Failure:
    return _failed(
        "The release command could not be run in the app's image.",
        "Check that the image has a shell (/bin/sh), and the user that its Dockerfile names.",
        evidence,
    )


def end_is_unknown() -> Failure:
    return _failed(
        "The release command was started, and its container was gone before it was known how it ended.",
        "Look at what it has done, then deploy again: it is not started a second time by itself.",
    )


def _failed(message: str, hint: str, evidence: str = "") -> Failure:
    return Failure(FailureCode.RELEASE_FAILED, message, hint, evidence)
