"""Why a build failed, as the tenant reads it. The engine has no codes for most of it, so its texts are recognised:
seen on 20.10 and 28.5, classic and BuildKit."""

from __future__ import annotations

import re

from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode, TransientFailure
from stackyn_server.engine.build_output import BuildOutput, Problem
from stackyn_server.engine.container_state import KILLED
from stackyn_server.engine.errors import EngineUnavailable

_DISK = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_DOCKERFILE = re.compile(
    r"dockerfile parse error|unknown instruction|failed to parse|failed to read dockerfile|cannot locate specified "
    r"dockerfile|dockerfile \(.*\) cannot be empty|no build stage|failed to process|requires buildkit|unknown flag|"
    r"file with no instructions|invalid (?:reference format|from flag value)|requires at least one argument|"
    r"failed to create llb definition|no such file or directory: dockerfile",
    re.IGNORECASE,
)
_NEEDS_BUILDKIT = re.compile(r"requires buildkit", re.IGNORECASE)
_NO_SUCH_IMAGE = re.compile(
    r"pull access denied|manifest unknown|manifest for .* not found|repository .* not found|"
    r"repository does not exist|: not found$|no such image|insufficient_scope",
    re.IGNORECASE,
)
_NO_SUCH_HOST = re.compile(r"no such host", re.IGNORECASE)
_REGISTRY_TROUBLE = re.compile(
    r"toomanyrequests|rate limit|i/o timeout|tls handshake timeout|connection re(?:fused|set)|"
    r"network is unreachable|no route to host|"
    r"server misbehaving|temporary failure|request canceled|unexpected eof|5\d\d (?:internal|bad|service|gateway)|"
    r"failed to do request|deadline exceeded",
    re.IGNORECASE,
)
_PULLING = re.compile(
    r"(?:get|head) \"?https?://|failed to resolve source|/v2/|pull access|manifest", re.IGNORECASE
)
_ENGINE_TROUBLE = re.compile(
    r"rpc error|context canceled|failed to create shim|containerd|network .* not found|no such network|cgroup",
    re.IGNORECASE,
)
# Images of a cache that another build's clean-up, or a removed app, took away between the look-up and the use.
_CACHE_VANISHED = re.compile(
    r"failed to get digest sha256|failed to set parent sha256|unknown parent image id|layer does not exist|"
    r"(?:no such|unable to find) image:? \"?sha256|content digest sha256:[0-9a-f]+: not found|"
    r"parent snapshot .* does not exist",
    re.IGNORECASE,
)
_MANIFEST_URL = re.compile(r"https?://([^/\s]+)/v2/(\S+?)/manifests/([^\s\"]+)")
_SOURCE_NAME = re.compile(r"(?:metadata for|access denied for|manifest for) ([^\s:,]+(?::[\w.-]+)?)")


def explain(problem: Problem, output: BuildOutput, *, out_of_memory: bool) -> DeploymentFailed:
    """Return the error to raise for `problem`. `out_of_memory`: a process of the build was killed for memory."""
    printed = output.evidence
    if _DISK.search(problem.text if problem.exit_code is None else printed):
        return _failed(
            FailureCode.BUILD_DISK,
            "The build stopped because the server's disk is full.",
            "Make the build write less, or tell the operator that the disk is full.",
            printed,
        )
    if problem.exit_code == KILLED or (out_of_memory and problem.exit_code is not None):
        return _failed(
            FailureCode.BUILD_OUT_OF_MEMORY,
            f"The build was ended in {_where(output)} because it used more memory than builds are allowed.",
            "Make the build need less memory, or ask the operator for a higher build limit.",
            printed,
        )
    if problem.exit_code is not None:
        return _failed(
            FailureCode.BUILD_FAILED,
            f"The build failed in {_where(output)} (exit code {problem.exit_code}).",
            "The last lines of the build say why. Repair it, push and deploy again.",
            printed,
        )
    return _without_exit_code(problem, output)


def _without_exit_code(problem: Problem, output: BuildOutput) -> DeploymentFailed:
    text = problem.text
    if _is_about_base_image(text, output) and (failure := _base_image(text, output)) is not None:
        return failure
    if _CACHE_VANISHED.search(text):
        return TransientFailure(
            Failure(
                FailureCode.BUILD_FAILED,
                "Cached layers were removed while the build used them.",
                "Deploy again; tell the operator if it happens twice.",
            )
        )
    if _DOCKERFILE.search(text):
        needs = (
            "It uses BuildKit syntax, which this build ran without. " if _NEEDS_BUILDKIT.search(text) else ""
        )
        return _failed(
            FailureCode.DOCKERFILE_INVALID,
            "The Dockerfile can't be used.",
            f"{needs}Repair what the engine names below, then deploy again.",
            text,
        )
    if problem.is_fault or _ENGINE_TROUBLE.search(text):
        return EngineUnavailable(text)
    return _failed(
        FailureCode.BUILD_FAILED,
        f"The build failed in {_where(output)}.",
        "The last lines of the build say why. Repair it, push and deploy again.",
        f"{output.evidence}\n{text}".strip(),
    )


def _is_about_base_image(text: str, output: BuildOutput) -> bool:
    return _PULLING.search(text) is not None or ": FROM " in output.step.upper()


def _base_image(text: str, output: BuildOutput) -> DeploymentFailed | None:
    name = _base_image_name(text, output)
    if _NO_SUCH_HOST.search(text):
        return _failed(
            FailureCode.BUILD_FAILED,
            f"The registry of the base image {name} was not found.",
            "Check the name after FROM in the Dockerfile. If it is right, this server has no access to that registry.",
        )
    if _REGISTRY_TROUBLE.search(text):
        return TransientFailure(
            Failure(
                FailureCode.BUILD_FAILED,
                f"The base image {name} could not be fetched: its registry doesn't answer, or limits requests.",
                "Deploy again later. If it stays, the operator checks this server's access to the registry.",
            )
        )
    if _NO_SUCH_IMAGE.search(text):
        return _failed(
            FailureCode.BUILD_FAILED,
            f"The base image {name} doesn't exist, or is private.",
            "Check the name after FROM in the Dockerfile.",
        )
    return None


def _base_image_name(text: str, output: BuildOutput) -> str:
    if match := _MANIFEST_URL.search(text):
        return _short_name(f"{match[1]}/{match[2]}:{match[3]}")
    if match := _SOURCE_NAME.search(text):
        return _short_name(match[1])
    words = output.step.partition(": ")[2].split()
    return words[1] if len(words) > 1 and words[0].upper() == "FROM" else "of the Dockerfile"


def _short_name(name: str) -> str:
    """Return an image's name as people write it, without what Docker Hub adds."""
    return re.sub(r"^(?:registry-1\.)?docker\.io/(?:library/)?", "", name)


def _where(output: BuildOutput) -> str:
    return output.step or "its first step"


def _failed(code: FailureCode, message: str, hint: str, evidence: str = "") -> DeploymentFailed:
    return DeploymentFailed(Failure(code, message, hint, evidence))
