"""Why a build failed, as the tenant reads it. BuildKit has codes for little of it, so its texts are recognised (tried
with 0.34.2). What a registry or another server answered is never shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from stackyn_server.diagnosis.diagnose import diagnose, telling_lines
from stackyn_server.diagnosis.kind import Diagnosis, Where
from stackyn_server.diagnosis.transcript import Line, transcript_of
from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode, TransientFailure
from stackyn_server.engine.builder import NO_DAEMON, NO_INPUT
from stackyn_server.engine.builder.build_progress import BuildProblem, BuildProgress
from stackyn_server.engine.builder.builder_run import BuilderExit
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
# Its database of snapshots and their folders contradict each other. No path alone is enough: steps of a tenant fail
# with paths of the cache too.
_CACHE_DAMAGED = re.compile(
    r"missing parent \S+ bucket|parent snapshot \S+ does not exist|failed to rename: rename \S+/snapshots/new-|"
    r"failed to get unprivileged mount flags for .*/snapshots/\d+/fs .*no such file"
)
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
# Go's words, curl's, and those of git's own protocol.
_ADDRESS = re.compile(r"(?:dial tcp|failed to connect to|\[[0-9]+:) (?P<address>[0-9.]+)", re.IGNORECASE)
_URL = re.compile(r"(?:get|head|post) \"?(?P<url>https?://[^\"\s]+)", re.IGNORECASE)
_REPOSITORY = re.compile(r"repository (?P<url>[^\s]+): git stderr:")
_STATUS = re.compile(r"invalid response status (?P<status>[0-9]{3})")
_CREDENTIALS = re.compile(r"//[^/@\s]*@")
# What must be left out: the words of a server that the build asked.
_ANSWER = re.compile(r"(?i)[:;,]?\s*(?:server message|body|response):.*$", re.DOTALL)
_TEMPORARY = re.compile(
    r"toomanyrequests|too many requests|rate limit|timeout|timed out|connection re(?:fused|set)|unreachable|no route|"
    r"server misbehaving|temporary failure|unexpected eof|\b5\d\d\b|deadline exceeded|eof$|handshake",
    re.IGNORECASE,
)
_CLOSED = (
    "Builds reach public addresses only. The operator may open a private network in [builds] allowed_private."
)


def failure_of(
    ended: BuilderExit, progress: BuildProgress, allowed: Sequence[IPv4Network] = ()
) -> DeploymentFailed:
    """Return the error to raise for a builder that didn't succeed. `allowed`: private networks that it may reach."""
    problem = progress.problem
    printed = progress.printed
    if ended.exit_code == NO_DAEMON:
        return EngineUnavailable(f"the builder's daemon did not start: {ended.stdout_tail}")
    if ended.out_of_memory or (problem is not None and problem.exit_code == SIGKILLED):
        return _failed(
            FailureCode.BUILD_OUT_OF_MEMORY,
            f"The build was ended in {_where(problem, progress)} because it used more memory than builds are allowed.",
            "Make the build need less memory, or ask the operator for a higher build limit.",
            telling_lines(printed),
        )
    if ended.exit_code == NO_INPUT:
        return _failed(
            FailureCode.BUILD_FAILED,
            "The repository's files could not be unpacked for the build.",
            "Look for files with unusual names or types in the repository, then deploy again.",
            ended.stdout_tail,
        )
    if problem is None:
        # BuilderExit from outside, or it lost its daemon without a word.
        return EngineUnavailable(
            f"the builder ended with {ended.exit_code}: {ended.stdout_tail} {progress.complaint}"
        )
    if problem.exit_code is not None:
        return _step_failed(problem, progress, printed)
    return _without_exit_code(problem, progress, allowed)


def is_cache_damaged(progress: BuildProgress) -> bool:
    """Say whether the builder could not read what earlier builds left in its cache."""
    problem = progress.problem
    if problem is None or problem.exit_code is not None or _DISK.search(problem.text):
        return False
    return _CACHE_DAMAGED.search(problem.text) is not None


def cache_damaged() -> TransientFailure:
    return TransientFailure(
        Failure(
            FailureCode.INTERNAL,
            "The cache of this account's builds was damaged, and is removed.",
            "Deploy again: the build has to do everything anew, once.",
        )
    )


def lacks_base_image(progress: BuildProgress) -> bool:
    """Say whether a registry answered that it has no image of the name after FROM."""
    problem = progress.problem
    if problem is None or _METADATA.search(problem.text) is None:
        return False
    return _NO_SUCH_IMAGE.search(_without_answer(problem.text)) is not None


def log_ending(progress: BuildProgress) -> list[str]:
    """Return the lines that a build log ends with: what the builder points at in the Dockerfile, and its complaint."""
    problem = progress.problem
    if problem is None or problem.exit_code is not None or _FETCHING.search(problem.text):
        return progress.excerpt
    return [*progress.excerpt, _without_answer(problem.text)]


def disk_full(evidence: str = "") -> DeploymentFailed:
    """The file system itself has no room left."""
    return _failed(
        FailureCode.BUILD_DISK,
        "The build stopped because the server's disk is full.",
        "Make the build write less, or tell the operator that the disk is full.",
        evidence,
    )


def _step_failed(problem: BuildProblem, progress: BuildProgress, printed: Sequence[Line]) -> DeploymentFailed:
    ended = f"The build failed in {_where(problem, progress)} (exit code {problem.exit_code})."
    if known := diagnose(printed, Where.BUILD, problem.exit_code):
        return _known(known, ended)
    return _failed(
        FailureCode.BUILD_FAILED,
        ended,
        "The lines below say why. Repair it, push and deploy again.",
        telling_lines(printed),
    )


def _known(known: Diagnosis, ended: str) -> DeploymentFailed:
    if known.kind.build_code is FailureCode.BUILD_DISK:
        return disk_full(known.evidence)
    return _failed(known.kind.build_code, f"{known.message} {ended}", known.hint, known.evidence)


def _without_exit_code(
    problem: BuildProblem, progress: BuildProgress, allowed: Sequence[IPv4Network]
) -> DeploymentFailed:
    text = problem.text
    if _DISK.search(text):
        return disk_full()
    if _DAEMON_GONE.search(text):
        # It ran, so it is not the engine's: the daemon and its steps share their limits.
        return _failed(
            FailureCode.BUILD_FAILED,
            f"The builder broke down in {_where(problem, progress)}: the build used all its processes or memory.",
            "Make the build start fewer processes at once, or need less memory.",
            telling_lines(progress.printed),
        )
    if _FETCHING.search(text):
        return _fetching(problem, progress, allowed)
    excerpt = "\n".join(log_ending(progress))
    if _DOCKERFILE.search(text):
        return _failed(
            FailureCode.DOCKERFILE_INVALID,
            "The Dockerfile can't be used.",
            "Repair what is named below, then deploy again.",
            excerpt,
        )
    ended = f"The build failed in {_where(problem, progress)}."
    if known := diagnose(transcript_of(excerpt).lines(), Where.BUILD):
        return _known(known, ended)
    return _failed(
        FailureCode.BUILD_FAILED,
        ended,
        "The lines below say why. Repair it, push and deploy again.",
        "\n".join([telling_lines(progress.printed), excerpt]).strip("\n"),
    )


def _fetching(
    problem: BuildProblem, progress: BuildProgress, allowed: Sequence[IPv4Network]
) -> DeploymentFailed:
    text = problem.text
    metadata = _METADATA.search(text)
    if (repository := _REPOSITORY.search(text)) is not None:
        what = f"the repository {_CREDENTIALS.sub('//', repository['url'])}"
    elif metadata is None:
        what = f"the file of {_where(problem, progress)}"
        if (url := _URL.search(text)) is not None:
            what = _CREDENTIALS.sub("//", url["url"])
    else:
        what = f"the base image {_short_name(metadata['name'])}"
    if (closed := _closed_address(text, allowed)) is not None:
        return _failed(
            FailureCode.BUILD_FAILED,
            f"The build may not reach {closed}, where {what} would come from.",
            _CLOSED,
        )
    if repository is not None:
        return _failed(
            FailureCode.BUILD_FAILED,
            f"{_capital(what)} could not be fetched.",
            "The lines below say why. Check the address in the Dockerfile, and that anybody may read it.",
            telling_lines(progress.printed),
        )
    if metadata is None:
        return _file(what, text)
    return _base_image(what, text)


def _base_image(what: str, text: str) -> DeploymentFailed:
    if host := _NO_SUCH_HOST.search(text):
        return _failed(
            FailureCode.BUILD_FAILED,
            f"The registry of {what} was not found: there is no host {host['host']}.",
            "Check the name after FROM in the Dockerfile. If it is right, this server has no access to that registry.",
        )
    if _NOT_SIGNED_IN.search(_without_answer(text)):
        return _failed(
            FailureCode.BUILD_FAILED,
            f"{_capital(what)} could not be fetched: its registry asks for other credentials.",
            "Set the user and the password of this registry, or check the ones that are set.",
        )
    if _NO_SUCH_IMAGE.search(_without_answer(text)) or _NO_SUCH_IMAGE.search(text):
        return _failed(
            FailureCode.BUILD_FAILED,
            f"{_capital(what)} doesn't exist, or is private.",
            "Check the name after FROM in the Dockerfile. For a private image, add its registry's credentials.",
        )
    if _TEMPORARY.search(text) or _NO_NAME_SERVICE.search(text):
        return TransientFailure(
            Failure(
                FailureCode.BUILD_FAILED,
                f"{_capital(what)} could not be fetched: its registry doesn't answer, or limits requests.",
                "Deploy again later. If it stays, the operator checks this server's access to the registry.",
            )
        )
    return _failed(
        FailureCode.BUILD_FAILED,
        f"{_capital(what)} could not be fetched from its registry.",
        "Check the name after FROM in the Dockerfile, and that its registry serves this image to this server.",
    )


def _file(what: str, text: str) -> DeploymentFailed:
    if status := _STATUS.search(text):
        return _failed(
            FailureCode.BUILD_FAILED,
            f"{_capital(what)} could not be fetched: its server answered with status {status['status']}.",
            "Check the address in the Dockerfile.",
        )
    if host := _NO_SUCH_HOST.search(text):
        return _failed(
            FailureCode.BUILD_FAILED,
            f"{_capital(what)} could not be fetched: there is no host {host['host']}.",
            "Check the address in the Dockerfile.",
        )
    return _failed(
        FailureCode.BUILD_FAILED,
        f"{_capital(what)} could not be fetched.",
        "Check the address in the Dockerfile, and that its server can be reached from the internet.",
    )


def _closed_address(text: str, allowed: Sequence[IPv4Network]) -> str | None:
    """Return the address that a connection was tried to when builds may not reach it."""
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
    """Return an image's name as people write it, without what Docker Hub adds."""
    return re.sub(r"^(?:registry-1\.)?docker\.io/(?:library/)?", "", name)


def _where(problem: BuildProblem | None, progress: BuildProgress) -> str:
    step = (problem.step if problem is not None else "") or progress.step
    return f"step {step}" if step else "its first step"


def _without_answer(text: str) -> str:
    return _CREDENTIALS.sub("//", _ANSWER.sub("", text))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _failed(code: FailureCode, message: str, hint: str, evidence: str = "") -> DeploymentFailed:
    return DeploymentFailed(Failure(code, message, hint, evidence))
