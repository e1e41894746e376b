"""Explain to the tenant why a build failed.

BuildKit has codes for few failures, so its texts are recognised (tried with 0.34.2). What a registry or another server
answered is never shown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Network

from stackyn_server.diagnosis.diagnose import diagnose, error_excerpt
from stackyn_server.diagnosis.failure_kind import Diagnosis, FailedStep
from stackyn_server.diagnosis.transcript import Line, transcript_of
from stackyn_server.domain.failures import DeploymentFailed, FailureCode, TransientFailure
from stackyn_server.engine.builder import NO_DAEMON, NO_INPUT
from stackyn_server.engine.builder.builder_run import BuilderExit
from stackyn_server.engine.builder.buildkit_progress import BuildkitError, BuildkitProgress
from stackyn_server.engine.builder.fetch_failures import (
    fetch_failure,
    is_fetch,
    step_of,
    without_answer,
)
from stackyn_server.engine.container_state import SIGKILLED
from stackyn_server.engine.errors import EngineUnavailable

_DISK = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_DOCKERFILE = re.compile(
    r"dockerfile parse error|failed to read dockerfile|the dockerfile cannot be empty|dockerfile line greater than|"
    r"no build stage|file with no instructions|invalid reference format|base name \(.*\) should not be blank|"
    r"target stage .* could not be found|failed to parse|unknown flag|is not allowed|duplicate name|"
    r"circular dependency|invalid (?:from|platform|file mode|mount|field)|unsupported (?:mount|frontend)|"
    r"undefined arg|failed to process|requires at least|requires exactly|unknown instruction|not a valid",
    re.IGNORECASE,
)
_DAEMON_GONE = re.compile(
    r"rpc error|error reading from server|connection error|transport is closing|session healthcheck|"
    r"failed to list workers|closing transport|buildkitd\.sock",
    re.IGNORECASE,
)
# BuildKit's database of snapshots contradicts their folders. A path alone proves nothing: steps of a tenant fail with
# paths of the cache too.
_CACHE_DAMAGED = re.compile(
    r"missing parent \S+ bucket|parent snapshot \S+ does not exist|failed to rename: rename \S+/snapshots/new-|"
    r"failed to get unprivileged mount flags for .*/snapshots/\d+/fs .*no such file"
)


def failure_of(
    ended: BuilderExit, progress: BuildkitProgress, allowed: Sequence[IPv4Network] = ()
) -> DeploymentFailed:
    """Return the error to raise for a builder that failed. `allowed`: private networks that builds may reach."""
    problem = progress.problem
    printed = progress.printed
    if ended.exit_code == NO_DAEMON:
        return EngineUnavailable(f"the builder's daemon did not start: {ended.stdout_tail}")
    if ended.out_of_memory or (problem is not None and problem.exit_code == SIGKILLED):
        return DeploymentFailed.of(
            FailureCode.BUILD_OUT_OF_MEMORY,
            f"The build was ended in {step_of(problem, progress)} because it used more memory than builds are allowed.",
            "Make the build need less memory, or ask the operator for a higher build limit.",
            error_excerpt(printed),
        )
    if ended.exit_code == NO_INPUT:
        return DeploymentFailed.of(
            FailureCode.BUILD_FAILED,
            "The repository's files could not be unpacked for the build.",
            "Look for files with unusual names or types in the repository, then deploy again.",
            ended.stdout_tail,
        )
    if problem is None:
        # The container was ended from outside, or the daemon ended without an error message.
        return EngineUnavailable(
            f"the builder ended with {ended.exit_code}: {ended.stdout_tail} {progress.messages}"
        )
    if problem.exit_code is not None:
        return _step_failed(problem, progress, printed)
    return _without_exit_code(problem, progress, allowed)


def is_cache_damaged(progress: BuildkitProgress) -> bool:
    """Return whether the builder could not read the cache that earlier builds left."""
    problem = progress.problem
    if problem is None or problem.exit_code is not None or _DISK.search(problem.text):
        return False
    return _CACHE_DAMAGED.search(problem.text) is not None


def cache_damaged() -> TransientFailure:
    return TransientFailure.of(
        FailureCode.INTERNAL,
        "The cache of this account's builds was damaged, and is removed.",
        "Deploy again: the build has to do everything anew, once.",
    )


def log_ending(progress: BuildkitProgress) -> list[str]:
    """Return the last lines of a build log: the lines of the Dockerfile that the builder names, and its error."""
    problem = progress.problem
    if problem is None or problem.exit_code is not None or is_fetch(problem.text):
        return progress.excerpt
    return [*progress.excerpt, without_answer(problem.text)]


def disk_full(evidence: str = "") -> DeploymentFailed:
    """Return the failure for a full file system."""
    return DeploymentFailed.of(
        FailureCode.BUILD_DISK,
        "The build stopped because the server's disk is full.",
        "Make the build write less, or tell the operator that the disk is full.",
        evidence,
    )


def _step_failed(
    problem: BuildkitError, progress: BuildkitProgress, printed: Sequence[Line]
) -> DeploymentFailed:
    sentence = f"The build failed in {step_of(problem, progress)} (exit code {problem.exit_code})."
    if diagnosis := diagnose(printed, FailedStep.BUILD, problem.exit_code):
        return _diagnosed(diagnosis, sentence)
    return DeploymentFailed.of(
        FailureCode.BUILD_FAILED,
        sentence,
        "The lines below say why. Repair it, push and deploy again.",
        error_excerpt(printed),
    )


def _diagnosed(diagnosis: Diagnosis, sentence: str) -> DeploymentFailed:
    if diagnosis.kind.build_code is FailureCode.BUILD_DISK:
        return disk_full(diagnosis.evidence)
    return DeploymentFailed.of(
        diagnosis.kind.build_code, f"{diagnosis.message} {sentence}", diagnosis.hint, diagnosis.evidence
    )


def _without_exit_code(
    problem: BuildkitError, progress: BuildkitProgress, allowed: Sequence[IPv4Network]
) -> DeploymentFailed:
    text = problem.text
    if _DISK.search(text):
        return disk_full()
    if _DAEMON_GONE.search(text):
        # The builder ran, so the engine is not at fault: the daemon and the steps share their limits.
        return DeploymentFailed.of(
            FailureCode.BUILD_FAILED,
            f"The builder broke down in {step_of(problem, progress)}: the build used all its processes or memory.",
            "Make the build start fewer processes at once, or need less memory.",
            error_excerpt(progress.printed),
        )
    if is_fetch(text):
        return fetch_failure(problem, progress, allowed)
    excerpt = "\n".join(log_ending(progress))
    if _DOCKERFILE.search(text):
        return DeploymentFailed.of(
            FailureCode.DOCKERFILE_INVALID,
            "The Dockerfile can't be used.",
            "Repair what is named below, then deploy again.",
            excerpt,
        )
    sentence = f"The build failed in {step_of(problem, progress)}."
    if diagnosis := diagnose(transcript_of(excerpt).lines(), FailedStep.BUILD):
        return _diagnosed(diagnosis, sentence)
    return DeploymentFailed.of(
        FailureCode.BUILD_FAILED,
        sentence,
        "The lines below say why. Repair it, push and deploy again.",
        "\n".join([error_excerpt(progress.printed), excerpt]).strip("\n"),
    )
