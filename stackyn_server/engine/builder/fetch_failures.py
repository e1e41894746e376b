"""Why a build could not fetch a base image, a file or a repository, as the tenant reads it.

What a registry or another server answered is never shown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from stackyn_server.diagnosis.diagnose import error_excerpt
from stackyn_server.domain.failures import DeploymentFailed, FailureCode, TransientFailure
from stackyn_server.engine.builder.buildkit_progress import BuildkitError, BuildkitProgress

_FETCHING = re.compile(
    r"failed to resolve source metadata|failed to authorize|failed to do request|failed to copy|failed to fetch|"
    r"(?:get|head|post) \"?https?://|unexpected status|invalid response status|failed to read digest|dial tcp|"
    r"failed to extract layer|httpreadseeker|git stderr:",
    re.IGNORECASE,
)
_METADATA = re.compile(r"failed to resolve source metadata for (?P<name>[^\s]+?):? ")
_NO_SUCH_IMAGE = re.compile(
    r"pull access denied|manifest unknown|insufficient_scope|repository does not exist|: not found$|"
    r"name unknown|unexpected status.*?: 404|authorization failed|no match for platform",
    re.IGNORECASE,
)
_NOT_SIGNED_IN = re.compile(
    r"unexpected status.*?: (?:401|403)|401 unauthorized|403 forbidden|incorrect username", re.IGNORECASE
)
_NO_SUCH_HOST = re.compile(r"lookup (?P<host>\S+)(?: on \S+)?: no such host", re.IGNORECASE)
_NO_NAME_SERVICE = re.compile(r"lookup (?P<host>\S+)(?: on \S+)?:", re.IGNORECASE)
# As Go, curl and git's own protocol write it.
_ADDRESS = re.compile(r"(?:dial tcp|failed to connect to|\[[0-9]+:) (?P<address>[0-9.]+)", re.IGNORECASE)
_URL = re.compile(r"(?:get|head|post) \"?(?P<url>https?://[^\"\s]+)", re.IGNORECASE)
_REPOSITORY = re.compile(r"repository (?P<url>[^\s]+): git stderr:")
_STATUS = re.compile(r"invalid response status (?P<status>[0-9]{3})")
_CREDENTIALS = re.compile(r"//[^/@\s]*@")
# The answer of a server, which is never shown.
_ANSWER = re.compile(r"(?i)[:;,]?\s*(?:server message|body|response):.*$", re.DOTALL)
_TEMPORARY = re.compile(
    r"toomanyrequests|too many requests|rate limit|timeout|timed out|connection re(?:fused|set)|unreachable|no route|"
    r"server misbehaving|temporary failure|unexpected eof|\b5\d\d\b|deadline exceeded|eof$|handshake",
    re.IGNORECASE,
)
_CLOSED = (
    "Builds reach public addresses only. The operator may open a private network in [builds] allowed_private."
)


def is_fetch(problem_text: str) -> bool:
    """Return whether the builder failed while it fetched something."""
    return _FETCHING.search(problem_text) is not None


def lacks_base_image(progress: BuildkitProgress) -> bool:
    """Return whether a registry answered that it has no image of the name after FROM."""
    problem = progress.problem
    if problem is None or _METADATA.search(problem.text) is None:
        return False
    return _NO_SUCH_IMAGE.search(without_answer(problem.text)) is not None


def fetch_failure(
    problem: BuildkitError, progress: BuildkitProgress, allowed: Sequence[IPv4Network]
) -> DeploymentFailed:
    text = problem.text
    metadata = _METADATA.search(text)
    if (repository := _REPOSITORY.search(text)) is not None:
        what = f"the repository {_CREDENTIALS.sub('//', repository['url'])}"
    elif metadata is None:
        what = f"the file of {step_of(problem, progress)}"
        if (url := _URL.search(text)) is not None:
            what = _CREDENTIALS.sub("//", url["url"])
    else:
        what = f"the base image {_short_name(metadata['name'])}"
    if (closed := _closed_address(text, allowed)) is not None:
        return DeploymentFailed.of(
            FailureCode.BUILD_FAILED,
            f"The build may not reach {closed}, where {what} would come from.",
            _CLOSED,
        )
    if repository is not None:
        return DeploymentFailed.of(
            FailureCode.BUILD_FAILED,
            f"{_capital(what)} could not be fetched.",
            "The lines below say why. Check the address in the Dockerfile, and that anybody may read it.",
            error_excerpt(progress.printed),
        )
    if metadata is None:
        return _file(what, text)
    return _base_image(what, text)


def _base_image(what: str, text: str) -> DeploymentFailed:
    if host := _NO_SUCH_HOST.search(text):
        return DeploymentFailed.of(
            FailureCode.BUILD_FAILED,
            f"The registry of {what} was not found: there is no host {host['host']}.",
            "Check the name after FROM in the Dockerfile. If it is right, this server has no access to that registry.",
        )
    if _NOT_SIGNED_IN.search(without_answer(text)):
        return DeploymentFailed.of(
            FailureCode.BUILD_FAILED,
            f"{_capital(what)} could not be fetched: its registry asks for other credentials.",
            "Set the user and the password of this registry, or check the ones that are set.",
        )
    if _NO_SUCH_IMAGE.search(without_answer(text)) or _NO_SUCH_IMAGE.search(text):
        return DeploymentFailed.of(
            FailureCode.BUILD_FAILED,
            f"{_capital(what)} doesn't exist, or is private.",
            "Check the name after FROM in the Dockerfile. For a private image, add its registry's credentials.",
        )
    if _TEMPORARY.search(text) or _NO_NAME_SERVICE.search(text):
        return TransientFailure.of(
            FailureCode.BUILD_FAILED,
            f"{_capital(what)} could not be fetched: its registry doesn't answer, or limits requests.",
            "Deploy again later. If it stays, the operator checks this server's access to the registry.",
        )
    return DeploymentFailed.of(
        FailureCode.BUILD_FAILED,
        f"{_capital(what)} could not be fetched from its registry.",
        "Check the name after FROM in the Dockerfile, and that its registry serves this image to this server.",
    )


def _file(what: str, text: str) -> DeploymentFailed:
    if status := _STATUS.search(text):
        return DeploymentFailed.of(
            FailureCode.BUILD_FAILED,
            f"{_capital(what)} could not be fetched: its server answered with status {status['status']}.",
            "Check the address in the Dockerfile.",
        )
    if host := _NO_SUCH_HOST.search(text):
        return DeploymentFailed.of(
            FailureCode.BUILD_FAILED,
            f"{_capital(what)} could not be fetched: there is no host {host['host']}.",
            "Check the address in the Dockerfile.",
        )
    return DeploymentFailed.of(
        FailureCode.BUILD_FAILED,
        f"{_capital(what)} could not be fetched.",
        "Check the address in the Dockerfile, and that its server can be reached from the internet.",
    )


def _closed_address(text: str, allowed: Sequence[IPv4Network]) -> str | None:
    """Return the address of a failed connection that builds may not reach, None when there is none."""
    for match in _ADDRESS.finditer(text):
        try:
            address = IPv4Address(match["address"])
        except AddressValueError:
            continue
        is_closed = not address.is_global or address.is_multicast
        if is_closed and not any(address in network for network in allowed):
            return str(address)
    return None


def _short_name(name: str) -> str:
    """Return an image's name without the prefix of Docker Hub."""
    return re.sub(r"^(?:registry-1\.)?docker\.io/(?:library/)?", "", name)


def step_of(problem: BuildkitError | None, progress: BuildkitProgress) -> str:
    step = (problem.step if problem is not None else "") or progress.step
    return f"step {step}" if step else "its first step"


def without_answer(text: str) -> str:
    return _CREDENTIALS.sub("//", _ANSWER.sub("", text))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
