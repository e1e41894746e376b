"""Failures of the machine: disk, memory, the network, the processor's architecture."""

from __future__ import annotations

from stackyn_server.diagnosis.failure_kind import FailedStep, FailureKind
from stackyn_server.domain.failures import FailureCode

_PRIVATE = (
    r"(?P<address>(?:10|127)(?:\.[0-9]{1,3}){3}|192\.168(?:\.[0-9]{1,3}){2}|169\.254(?:\.[0-9]{1,3}){2}|"
    r"172\.(?:1[6-9]|2[0-9]|3[01])(?:\.[0-9]{1,3}){2})"
)

KINDS: tuple[FailureKind, ...] = (
    FailureKind(
        "disk full",
        r"[Nn]o space left on device|[Dd]isk quota exceeded|ENOSPC",
        "The disk is full.",
        "Have it write less (caches and build products count), or tell the operator that the disk is full.",
        before=1,
        build_code=FailureCode.BUILD_DISK,
    ),
    FailureKind(
        "too many processes",
        (
            r"fork.{0,200}: [Rr]esource temporarily unavailable$|: Cannot fork$",
            r"^BlockingIOError: \[Errno 11\] Resource temporarily unavailable$|^RuntimeError: can't start new thread$",
            r"^Error: spawn .{1,200} EAGAIN$|OutOfMemoryError: unable to create (?:new )?native thread",
            r"^runtime: failed to create new OS thread",
        ),
        "It tried to have more processes and threads at once than it may.",
        "Have it start fewer at once (workers, threads, parallel jobs), or ask the operator for a higher limit.",
        before=1,
        after=1,
    ),
    FailureKind(
        "JavaScript heap out of memory",
        r"FATAL ERROR: .{0,120}JavaScript heap out of memory",
        "Node used more memory than its JavaScript heap may have.",
        "Make it need less memory, or have it given more: a higher memory limit, and NODE_OPTIONS="
        "--max-old-space-size=<MB> below that limit.",
        also=r"^npm error command|^<--- Last few GCs|Mark-Compact",
        build_code=FailureCode.BUILD_OUT_OF_MEMORY,
        start_code=FailureCode.APP_OUT_OF_MEMORY,
    ),
    FailureKind(
        "JVM heap out of memory",
        r"java\.lang\.OutOfMemoryError: (?P<what>[A-Za-z ]+)",
        "Java ran out of memory ({what}).",
        "Give it a higher memory limit, or a larger heap (-Xmx) within the limit that it has.",
        after=2,
        build_code=FailureCode.BUILD_OUT_OF_MEMORY,
        start_code=FailureCode.APP_OUT_OF_MEMORY,
    ),
    FailureKind(
        "compiler or linker killed",
        (
            r"fatal error: Killed signal terminated program (?P<program>[\w.+-]+)",
            r"(?P<program>collect2|ld|cc1plus|cc1): (?:fatal error: )?(?:ld terminated with signal 9|"
            r"out of memory|memory exhausted)",
            r"\(signal: 9, SIGKILL: kill\)|\bsignal: killed$",
        ),
        "The compiler was killed, most likely because compiling or linking needed more memory than "
        "builds are allowed.",
        "Compile with fewer jobs at once (make -j1, CARGO_BUILD_JOBS=1, go build -p 1), or ask the "
        "operator for a higher build limit.",
        before=2,
        build_code=FailureCode.BUILD_OUT_OF_MEMORY,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "private address refused",
        (
            rf"(?:refused|REFUSED|[Nn]o route to host|UNREACH|[Tt]imed out|"
            rf"TIMEDOUT)[^0-9]{{0,60}}\b{_PRIVATE}\b",
            rf"\b{_PRIVATE}\b(?:[:, ]+(?:port )?[0-9]+)?[^0-9]{{0,60}}(?i:refused|no route to host|"
            rf"unreachable|timed out)",
        ),
        "The build tried to reach {address}, and builds reach public addresses only: no database, no service of this "
        "server or of a private network.",
        "Do what needs it when the app starts, not in the build. The operator may open a private network in [builds] "
        "allowed_private.",
        before=2,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "wrong architecture",
        (
            r"(?:^|\s)(?P<program>[^\s:]{1,200})(?: failed)?: (?:cannot execute(?: binary file)?: )"
            r"?[Ee]xec format error",
            r"(?:^|\s)(?P<program>[^\s:]{1,200}): cannot execute binary file",
            # The C library hands a file that the kernel can't run to a shell, which reads it as a script.
            r"^(?P<program>[^\s:]{1,200}): (?:line )?1: (?:\W{0,4}ELF|"
            r"[Ss]yntax error: (?:word unexpected|unexpected word))",
        ),
        "{program} is no program for this server's processor.",
        "Build it for linux/amd64 (GOARCH, --platform, the base image), or build it in the Dockerfile instead of "
        "committing it. A script needs its interpreter in the first line.",
        before=1,
    ),
)
