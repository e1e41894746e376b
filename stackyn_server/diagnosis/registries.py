"""Failures of package registries and hosts: packages that are private, absent, altered or out of reach."""

from __future__ import annotations

from stackyn_server.diagnosis.failure_kind import FailedStep, FailureKind

KINDS: tuple[FailureKind, ...] = (
    FailureKind(
        "peer dependency conflict",
        r"npm error (?:code )?ERESOLVE|ERR_PNPM_PEER_DEP_ISSUES",
        "Packages of the project need different versions of a common one (peer dependencies).",
        "Choose versions that fit each other. To have npm ignore it, commit a .npmrc with legacy-peer-deps=true.",
        also=r"npm error (?:Found: |peer |  peer |Could not resolve dep)|unmet peer",
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "integrity mismatch",
        (
            r"npm error code EINTEGRITY|npm error sha\d+-\S+ integrity checksum failed",
            r"Integrity check failed for \"(?P<package>[^\"]+)\"",
            r"THESE PACKAGES DO NOT MATCH THE HASHES|Hash mismatch for|hash mismatch",
            r"YN0018: |ERR_PNPM_TARBALL_INTEGRITY|IntegrityCheckFailed|Integrity check failed",
            r"checksum mismatch|checksum for `[^`]+` changed between lock files|"
            r"failed to verify the checksum",
        ),
        "A package is not the one that the lock describes: its checksum differs.",
        "Remove its entry from the lock, install again, look at what changed, and commit the lock.",
        before=1,
        after=5,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "private package refused",
        (
            r"npm error code E(?:401|403|NEEDAUTH)\b",
            r"ERR_PNPM_FETCH_40[13]\b",
            r"YN0041: ",
            r"error: GET \S+ - 40[13]$",
            r"40[13] Client Error",
            r"HTTP status client error \(40[13]",
            r"unexpected status code 40[13]|status code: 40[13]|got 40[13]|reading \S+: 40[13] ",
            r"status: 40[13] |\(HTTP/[0-9.]+ 40[13]\)|Bad username or password for |"
            r"Authentication is required for ",
            r"(?:Not authorized|authentication failed|Unauthorized)[^a-z]{0,40}https?:",
            r"Could not authenticate against|Invalid credentials|URL required authentication|"
            r"lack of valid authentication",
        ),
        "A registry refuses a package: it wants credentials that the build doesn't have, or they are wrong.",
        "For a private package, set its registry's token as a variable of the app and name it in "
        ".npmrc, pip's URL or the like.",
        after=3,
        also=r"npm error 40[13] |^npm error .*(?:GET|PUT) http",
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "registry down",
        (
            r"npm error (?:code )?(?:E5\d\d|ENOTFOUND|ECONNREFUSED|ETIMEDOUT|ECONNRESET|EAI_AGAIN|"
            r"FETCH_ERROR|ERR_SOCKET_TIMEOUT|E429)\b",
            r"ERR_PNPM_(?:META_FETCH_FAIL|FETCH_5\d\d|FETCH_429)",
            r"YN0035: .{0,160}The registry appears to be down|RequestError: (?:getaddrinfo|connect|read) E",
            r"error: (?:ConnectionRefused|HTTPError|ConnectionClosed|Timeout|"
            r"FailedToOpenSocket|DNSResolveFailed) downloading",
            r"error Error: (?:getaddrinfo|connect|read) E\w+|^\s+responseCode: 5\d\d",
            r"There appears to be trouble with your network connection",
            r"after connection broken by '\w+",
            r"(?:ReadTimeoutError|ConnectTimeoutError|NewConnectionError|MaxRetryError|Read timed out)",
            r"error sending request for url|[Rr]equest failed after \d+ retries|"
            r"dns error: failed to lookup|Failed to fetch: ",
            r"Could not (?:resolve|connect to) host|Couldn't connect to server|spurious network error",
            r"dial tcp[^\n]{0,120}(?:no such host|i/o timeout|connection refused|server misbehaving)",
            r"Could not transfer (?:artifact|metadata)[^\n]{0,400}(?:Unknown host|Connect |timed out|"
            r"[Cc]onnection|Network)",
            r"(?:Could not fetch specs from|Could not reach host|Net::OpenTimeout)",
            r"file could not be downloaded|curl error \d+",
            r"\(Mix\) httpc request failed with: ",
            r"error NU1301: |Unable to load the service index for source",
            r"^Exception in thread \"main\" java\.net\.(?:UnknownHost|Connect|SocketTimeout|NoRouteToHost)Exception",
            r"Temporary failure (?:in name resolution|resolving)|Could not resolve '",
        ),
        "A package registry, or the host of a download, did not answer.",
        "Deploy again in some minutes. If it stays, check the address below: builds reach public addresses only.",
        before=1,
        after=2,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "workspace package missing",
        r"npm error Unsupported URL Type \"workspace:|ERR_PNPM_WORKSPACE_PKG_NOT_FOUND",
        "A package of the project's own workspace is asked for (workspace:), and is not there.",
        "Deploy from the folder that has the workspace and its lock, with the package manager that made it.",
        after=2,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "no such package or version",
        (
            r"npm error 404  (?:The requested resource )?'(?P<package>[^']+)' (?:is not in|"
            r"could not be found)",
            r"npm error notarget No matching version found for (?P<package>\S+[^.\s])",
            r"^(?P<package>@?[\w./-]+) is not in the npm registry, or you have no permission",
            r"ERR_PNPM_NO_MATCHING_VERSION\s+No matching version found for (?P<package>\S+)",
            r"YN0035: │ (?P<package>\S+?): Package not found",
            r"YN0082: │ (?P<package>\S+?): No candidates found",
            r"error: (?P<package>\S+) failed to resolve$",
            r"error: No version matching|error Couldn't find (?:any versions for|"
            r"package) \"(?P<package>[^\"]+)",
            r"^error Error: https?://\S+/(?P<package>\S+): ",
            r"No matching distribution found for (?P<package>\S+)",
            r"Because (?P<package>\S+) was not found in the (?:package registry|cache)",
            r"Because there are no versions of (?P<package>\S+)|there is no version of (?P<of>\S+)",
            r"failed to select a version for the requirement `(?P<package>[^`]+)`",
            r"no matching package named `(?P<package>[^`]+)` found",
            r"Could not find artifact (?P<package>\S+)",
            r"^\S+\.go:\d+:\d+: (?P<package>\S+): reading \S+: (?:404|410) ",
            r"Could not find gem '(?P<package>[^']+)'",
            r"Root composer\.json requires (?P<package>\S+), it could not be found|"
            r"could not be found in any version",
        ),
        "The registry does not have {package}, or not the version that is asked for.",
        "Check its name and version. A private package needs its registry's address and credentials; one of a "
        "workspace needs the whole repository.",
        before=1,
        after=4,
        also=r"npm error 404 |ERROR: Could not find a version|^@\S+ is not in the npm registry",
        unnamed="a package",
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "conflicting Python requirements",
        (
            r"ERROR: Cannot install .{1,300} because these package versions have conflicting dependencies",
            r"No solution found when resolving dependencies",
            r"version solving failed",
        ),
        "The requirements contradict each other: no set of versions fits all of them.",
        "Loosen one of the versions that are named below.",
        before=1,
        after=5,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "unreadable manifest",
        (
            r"npm error JSON\.parse |EJSONPARSE",
            r"error: failed to parse manifest at `(?P<file>[^`]+)`",
            r"ERROR: Invalid requirement: |Invalid (?:TOML|statement)|TOML parse error",
            r"\"(?P<file>[^\"]*composer\.json)\" does not contain valid JSON",
            r"Non-parseable POM (?P<file>\S+)",
        ),
        "A file that describes the project can't be read: it is malformed.",
        "Repair it where the lines below say.",
        before=1,
        after=4,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "requirements file missing",
        (
            r"ERROR: Could not open requirements file: .{0,40}'(?P<file>[^']+)'",
            r"npm error enoent Could not read package\.json: .{0,120}'(?P<file>[^']+)'",
        ),
        "The file {file} is not there.",
        "Commit it, copy it before the command that reads it, or correct its name.",
        step=FailedStep.BUILD,
    ),
)
