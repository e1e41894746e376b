"""How large a file of each kind may be to be read for the plan, in bytes. Lock files are honestly large."""

from __future__ import annotations

from stackyn_server.domain.failures import DeploymentFailed, FailureCode

_KIB, _MIB = 1 << 10, 1 << 20

_LOCK_BYTES = 32 * _MIB
_LOCKS = frozenset(
    (
        *("package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb"),
        *("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml", "Pipfile.lock", "deno.lock", "Cargo.lock", "go.sum"),
        *("Gemfile.lock", "composer.lock", "mix.lock", "packages.lock.json", "gradle.lockfile"),
    )
)  # fmt: skip
_REQUIREMENTS_BYTES = 16 * _MIB
_DOCKERFILE_BYTES = _MIB
_PROCFILE_BYTES = 64 * _KIB
_IGNORE_BYTES = 64 * _KIB
_MANIFEST_BYTES = 2 * _MIB
# Larger ones are data or generated: they are passed over, while a manifest that is too large is refused.
_SOURCE_BYTES = 256 * _KIB
_SOURCES = (
    *(".py", ".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".tsx", ".jsx", ".go", ".rs", ".rb", ".php"),
    *(".java", ".kt", ".cs", ".ex", ".exs", ".c", ".cc", ".cpp", ".html", ".htm", ".css", ".md", ".sh"),
)


def bytes_allowed(path: str) -> int:
    """Return how many bytes the file `path` may have."""
    name = path.rpartition("/")[2]
    lower = name.lower()
    if name in _LOCKS:
        return _LOCK_BYTES
    if lower.endswith(_SOURCES):
        return _SOURCE_BYTES
    if lower.endswith("ignore"):
        return _IGNORE_BYTES
    if "requirements" in path.lower() and lower.endswith((".txt", ".in")):
        return _REQUIREMENTS_BYTES
    if "dockerfile" in lower or "containerfile" in lower:
        return _DOCKERFILE_BYTES
    return _PROCFILE_BYTES if name == "Procfile" else _MANIFEST_BYTES


def may_be_passed_over(path: str) -> bool:
    """True for a file that is read as if it were not there when it is too large."""
    return path.lower().endswith(_SOURCES)


def file_too_large(path: str) -> DeploymentFailed:
    """Explain a file that is larger than its kind may be."""
    size = bytes_allowed(path)
    limit = f"{size // _MIB} MiB" if size >= _MIB else f"{size // _KIB} KiB"
    return DeploymentFailed.of(
        FailureCode.SOURCE_TOO_LARGE,
        f"The file {path} is larger than {limit}, too large to be read for the build plan.",
        "Make it smaller, then deploy again.",
    )
