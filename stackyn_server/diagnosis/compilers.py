"""Failures of compilers, type checkers and linters, and of what they lack."""

from __future__ import annotations

from stackyn_server.diagnosis.failure_kind import FailedStep, FailureKind

_OWN_DOCKERFILE = "In a Dockerfile of your own, install it with apt-get before this step"
_REPAIR = "Repair what the lines below name; the same command fails on your machine too."

_TOOLS = (
    FailureKind(
        "pg_config missing",
        r"pg_config executable not found|pg_config: (?:command )?not found|"
        r"Can't find the 'libpq-fe\.h'|You need to install postgresql-server-dev",
        "A package is compiled against PostgreSQL's client library (pg_config), which the build does not have.",
        "Use psycopg2-binary or psycopg[binary]. In a Dockerfile of your own, install libpq-dev and gcc.",
        after=3,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "MySQL client library missing",
        r"mysql_config: (?:command )?not found|Can not find valid pkg-config name|mysql\.h: No such file",
        "A package is compiled against MySQL's client library, which the build does not have.",
        "Use PyMySQL, which needs no compiler. In a Dockerfile of your own, install default-libmysqlclient-dev, "
        "pkg-config and gcc.",
        before=2,
        after=1,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "Python.h missing",
        r"fatal error: Python\.h: No such file or directory",
        "A package is compiled against Python, whose headers (Python.h) the build does not have.",
        "Choose a version of the package that has a wheel for this Python. In a Dockerfile of your own, install "
        "python3-dev and gcc.",
        before=1,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "header missing",
        r"fatal error: '?(?P<header>[\w./+-]+\.(?:h|hpp|hh))'?(?:: No such file or directory|"
        r" file not found)",
        "The header {header} is not there: the development package of a library is missing in the build.",
        f"{_OWN_DOCKERFILE} (the package that has {{header}}), or use a release that comes compiled.",
        before=2,
        after=2,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "library missing for pkg-config",
        (
            r"Package '?(?P<library>[\w.+-]+)'?, required by 'virtual:world', not found|"
            r"No package '(?P<other>[\w.+-]+)' found",
            r"Could not find directory of (?P<library>\w+) installation|"
            r"The system library `(?P<library2>[^`]+)` required by crate",
            r"The headers or library files could not be found for (?P<library>\w+)",
            r"checking for .{0,60}-l(?P<library>\w+)\.\.\. no$",
        ),
        "A library that something is compiled against is missing in the build.",
        f"{_OWN_DOCKERFILE} (its -dev package), or use a variant that brings the library (feature vendored, binary).",
        before=1,
        after=3,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "node-gyp: Python missing",
        r"gyp ERR! stack Error: Could not find any Python installation to use|"
        r"gyp ERR! find Python You need to install",
        "A Node package with native code is compiled with node-gyp, which needs Python, make and "
        "g++, and the build has no Python.",
        "Use a release of the package that comes compiled for this version of Node. In a Dockerfile "
        "of your own, install python3, make and g++.",
        also=r"npm error (?:path|command) |npm error prebuild-install warn",
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "node-gyp failed",
        r"gyp ERR! (?:build error|configure error|stack Error: (?P<reason>.{1,80}))",
        "A Node package with native code could not be compiled (node-gyp).",
        "Use a release of the package that comes compiled for this version of Node, or a version of "
        "Node that it knows.",
        before=1,
        after=1,
        also=r"npm error (?:path|command) |\berror: |fatal error|not found: make|gyp ERR! cwd",
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "Rust compiler missing",
        r"error: can't find Rust compiler|Rust toolchain, not found|"
        r"Cargo, the Rust package manager, is not installed",
        "A package is compiled with Rust, which the build does not have.",
        "Choose a version of the package that has a wheel for this version of Python.",
        before=1,
        also=r"Failed building wheel for",
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "compiler missing",
        (
            r"No such file or directory: '(?P<program>[\w-]*(?:gcc|g\+\+|cc|c\+\+|clang|make|cmake))'",
            r"(?:command|unable to execute) '?(?P<program>[\w-]*(?:gcc|g\+\+|cc|"
            r"clang))'?(?: failed)?: No such file or directory",
            r"(?:^|: )(?P<program>gcc|g\+\+|cc|c\+\+|clang|make|cmake|ninja): (?:command )?not found",
            r"error: linker `(?P<program>[^`]+)` not found",
            r"exec: \"(?P<program>gcc|cc|g\+\+)\": executable file not found",
            r"No CMAKE_C(?:XX)?_COMPILER could be found",
            r"not found: make$",
        ),
        "Something is compiled while it is installed, and the build has no compiler for it.",
        "Choose a version of the package that comes compiled. In a Dockerfile of your own, install build-essential "
        "before this step.",
        before=1,
        also=r"Failed building wheel for",
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "setuptools missing",
        r"ModuleNotFoundError: No module named '(?P<module>distutils|pkg_resources|setuptools|imp)'",
        "A package needs Python's module {module}, which newer versions of Python no longer bring.",
        "Update that package, pin an older version of Python, or add setuptools (below 81 for pkg_resources) to the "
        "requirements.",
        before=2,
    ),
)

_LANGUAGES = (
    FailureKind(
        "TypeScript error",
        (
            r"^(?P<place>[^\s:(]{1,200}\(\d+,\d+\)): error (?P<code>TS\d+): (?P<said>.{1,160})",
            r"^(?P<place>[^\s:]{1,200}:\d+:\d+) - error (?P<code>TS\d+): (?P<said>.{1,160})",
            r"^\s*(?:error )?(?P<code>TS\d+): (?P<said>.{1,160})",
            r"^Type error: (?P<said>.{1,160})",
        ),
        "TypeScript refuses the code: {said}.",
        "Repair the places below (tsc --noEmit shows them on your machine too).",
        before=1,
        after=1,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "ESLint error",
        (
            r"^✖ (?P<count>\d+) problems? \(\d+ errors?, \d+ warnings?\)",
            r"ESLint found too many warnings|^\s*\d+:\d+\s+[Ee]rror:? .{1,200}",
        ),
        "ESLint ended the build: it found problems that count as errors.",
        "Repair the places below, or have them not count as errors in the build.",
        also=r"^\s*\d+:\d+\s+error\b|^/\S+\.[cm]?[jt]sx?$",
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "Go compile error",
        (
            r"^(?:\./|\.\./)?[\w./-]{1,200}\.go:\d+:\d+: (?P<said>(?!\S+@v\d|cannot find module|"
            r"no required module|missing go\.sum).{1,160})",
            r"^package (?P<said>\S+ is not in std.{0,80})",
        ),
        "The Go code does not compile: {said}.",
        _REPAIR,
        before=1,
        after=1,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "Go package missing",
        r"^stat (?P<folder>\S+): directory not found|^no Go files in (?P<other>\S+)|go: no such tool|"
        r"go: go\.mod file not found|matched no packages",
        "There is no Go program in the folder that is built.",
        "Name the folder with package main in the build command, for example `go build ./cmd/server`.",
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "Rust compile error",
        (r"^error\[E\d+\]: (?P<said>.{1,160})", r"^error: (?P<said>could not compile `[^`]+`.{0,100})"),
        "The Rust code does not compile: {said}.",
        _REPAIR,
        after=6,
        also=r"^error: ",
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "Maven compile error",
        (r"^\[ERROR\] (?P<place>\S{1,200}\.(?:java|kt)):\[\d+,\d+\] (?P<said>.{1,160})",),
        "The Java code does not compile: {said}.",
        _REPAIR,
        after=2,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "javac or kotlinc error",
        r"^(?:e: )?(?:file://)?(?P<place>\S{1,200}\.(?:java|"
        r"kts?):\d+)(?::\d+)?:? (?:error: )?(?P<said>.{1,160})",
        "The code does not compile: {said}.",
        _REPAIR,
        after=2,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "tests failed in the build",
        (
            r"There are test failures|Tests run: \d+, Failures: [1-9]|"
            r"Tests run: \d+, Failures: \d+, Errors: [1-9]",
            r"^Tests:\s+[1-9]\d* failed|^=+ .{0,60}\b[1-9]\d* failed",
        ),
        "The build runs the project's tests, and some of them failed.",
        "Repair them, or leave tests out of the build command (for Maven: -DskipTests).",
        also=r"^\[ERROR\]\s+\S+\.\w+:\d+|^(?:FAILED|FAIL) ",
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "Elixir compile error",
        r"^\*\* \((?P<what>CompileError|SyntaxError|TokenMissingError|"
        r"UndefinedFunctionError)\) (?P<said>.{1,160})",
        "The Elixir code does not compile: {said}.",
        _REPAIR,
        before=2,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "Elixir dependency missing",
        r"Could not find (?:Hex, which is needed to build|an SCM for) dependency :(?P<name>\w+)|"
        r"Unchecked dependencies for environment (?P<environment>\w+)",
        "Mix's dependencies are not there: Hex is missing, or `mix deps.get` did not run.",
        "Run `mix local.hex --force` and `mix deps.get` before compiling; commit mix.lock.",
        after=2,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "C or C++ compile error",
        r"^(?P<place>[^\s:]{1,200}\.(?:c|cc|cpp|cxx|h|hpp|"
        r"m):\d+(?::\d+)?): (?:fatal )?error: (?P<said>.{1,160})",
        "The C or C++ code does not compile: {said}.",
        _REPAIR,
        before=1,
        after=2,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "linking failed",
        (
            r"undefined reference to [`'\u2018](?P<symbol>[^'\u2019]{1,100})",
            r"(?:ld|lld|collect2): (?:error: )?(?:cannot find|"
            r"unable to find library) -l(?P<library>\S+?):?(?: |$)",
        ),
        "The program could not be linked: something that it uses is in no library of the build.",
        "Name the library (-l…) and install its -dev package, or add the source file that has it.",
        before=1,
        after=1,
        step=FailedStep.BUILD,
    ),
    FailureKind(
        "wheel could not be built",
        r"ERROR: Failed building wheel for (?P<package>\S+)|error: (?:metadata-generation-failed|"
        r"subprocess-exited-with-error)|"
        r"\u00d7 Failed to build [`\u2018']?(?P<other>[^`\u2019']{1,80})",
        "A Python package has no wheel for this version of Python, and could not be built from its sources.",
        "Choose a version of it that has one, or the version of Python that it was made for.",
        before=1,
        also=r"^ {6}\S*(?:Error|error|Exception)\b",
        step=FailedStep.BUILD,
    ),
)

KINDS: tuple[FailureKind, ...] = (*_TOOLS, *_LANGUAGES)
