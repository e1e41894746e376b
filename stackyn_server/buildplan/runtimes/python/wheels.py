"""Limits the version of Python by the package versions that a project requires.

A project that names no Python was written for the Python of its day: the compiled packages that it pins have no wheels
for later versions, and the newest packages don't run on older ones. Source: the files on PyPI and their requirements,
seen in November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping

from stackyn_server.buildplan.versions.requirement import Requirement, VersionRange, VersionRequest, line_of

_LINES = range(8, 15)  # of Python 3
# The first version with a wheel for Linux, for Python 3.8 to 3.14; `-` where there is none yet.
_FIRST: Mapping[str, str] = {
    "numpy": "1.17.3 1.19.3 1.21.2 1.23.2 1.26 2.1 2.3.2",
    "pandas": "0.25.2 1.1.3 1.3.3 1.5 2.1.1 2.2.3 2.3.3",
    "scipy": "1.3.2 1.5.4 1.7.2 1.9.2 1.11.2 1.14.1 1.16.1",
    "scikit-learn": "0.22 0.24 1.0.2 1.1.3 1.3.1 1.5.2 1.7.2",
    "matplotlib": "3.1.2 3.3.3 3.5 3.6 3.7.3 3.9.2 3.10.5",
    "pillow": "6.2.1 8.0 8.3.2 9.2 10.0 10.4 11.3",
    "lxml": "4.4.1 4.5.2 4.6.3 4.9.1 4.9.3 5.3 6.0.1",
    "psycopg2-binary": "2.8.4 2.8.6 2.9.1 2.9.5 2.9.9 2.9.10 2.9.11",
    "grpcio": "1.24.3 1.33.1 1.41 1.49 1.59 1.66.2 1.75.1",
    "grpcio-tools": "1.24.3 1.33.1 1.41 1.49 1.59 1.66.2 1.75.1",
    "cffi": "1.13 1.14.3 1.15 1.15.1 1.16 1.17 2.0",
    "pyyaml": "5.4 5.4 6.0 6.0 6.0.1 6.0.2 6.0.3",
    "greenlet": "0.4.15 0.4.17 1.1 1.1.3 3.0 3.1 3.2.3",
    "gevent": "1.5 20.6.1 21.12 22.10.1 23.7 24.10.1 25.8.1",
    "torch": "1.4 1.7.1 1.11 1.13 2.2 2.5 2.9",
    "tensorflow": "2.2 2.5 2.8 2.12 2.16.1 2.20 -",
    "pyarrow": "0.16 3.0 6.0 10.0.1 14.0 18.0 22.0",
    "numba": "0.47 0.53 0.55 0.57 0.59 0.61 0.63",
    "orjson": "2.0.11 2.2 3.4.7 3.7.7 3.9.3 3.10.7 3.11.1",
    "uvloop": "0.14 0.15 0.16 0.17 0.18 0.21 0.22.1",
    "httptools": "0.1 0.1.2 0.3 0.5 0.6.1 0.6.2 0.7.1",
    "regex": "2019.12.17 2020.9.27 2021.8.21 2022.9.11 2023.10.3 2024.9.11 2025.7.29",
    "shapely": "1.7 1.7.1 1.8 1.8.5 2.0.2 2.0.6 2.1.2",
    "h5py": "2.9 3.0 3.6 3.8 3.10 3.12 3.15",
    "statsmodels": "0.10.2 0.12.1 0.13.1 0.13.3 0.14 0.14.3 0.14.5",
    "asyncpg": "0.20 0.22 0.24 0.27 0.29 0.30 0.31",
    "pymssql": "2.1.5 2.1.5 2.2.4 2.2.6 2.2.10 2.3.1 2.3.8",
    "kiwisolver": "1.1 1.3 1.3.2 1.4.4 1.4.5 1.4.7 1.4.9",
    "multidict": "4.6 5.0 5.2 6.0.3 6.0.5 6.1 6.7",
    "pyzmq": "18.1 19.0.2 22.2.1 23.2.1 25.1.1 26.1 27.0",
    "confluent-kafka": "1.3 1.6 1.9 2.0.2 2.3 2.6 2.12.1",
    "zstandard": "0.13 0.14.1 0.16 0.19 0.22 0.23 0.24",
    "tiktoken": "0.1.2 0.1.1 0.1.1 0.1.1 0.5.2 0.8 0.12",
    "sentencepiece": "0.1.85 0.1.94 0.1.96 0.1.98 0.2 0.2.1 0.2.1",
    "onnxruntime": "1.2 1.7 1.12 1.15 1.17 1.20 1.24.1",
    "faiss-cpu": "1.6.1 1.6.4 1.7.2 1.7.3 1.8 1.10 1.12",
    "scikit-image": "0.16.2 0.18 0.19 0.20 0.22 0.25 0.26",
    "aiohttp": "3.7 3.7 3.8 3.8.2 3.9 3.10.5 3.13",
    "pydantic-core": "0.1 0.1 0.1 0.7 2.1.2 2.20 2.35",
}


# The first version that does not run on Python 3.11, and the minor that it needs.
_NEEDS: Mapping[str, tuple[str, int]] = {
    "django": ("6.0", 12), "numpy": ("2.5", 12), "scipy": ("1.18", 12), "ipython": ("9.11", 12),
    "networkx": ("3.7", 12), "jax": ("0.11", 12), "jaxlib": ("0.11", 12), "contourpy": ("1.4", 12),
    "zarr": ("3.2", 12), "sphinx": ("9.1", 12), "bokeh": ("3.10", 12), "panel": ("1.10", 12), "quart": ("0.23", 13),
}  # fmt: skip


def limited_by_wheels(
    requested: VersionRequest | None, pins: Mapping[str, str], least: Mapping[str, str]
) -> VersionRequest | None:
    """Return the request without the lines of Python for which a pinned version has no wheel or a package is too new.

    `pins` are exact versions, `least` the lowest that suffice, by normalised name. A limit that would leave no
    requested version is ignored."""
    bounds = [
        (f"3.{minor - 1} at most", f"{name}=={pins[name]}", VersionRange(high=(3, minor, 0)))
        for minor, name in sorted((_first_without(name, version), name) for name, version in pins.items())[:1]
        if minor in _LINES
    ]
    bounds += [
        (f"3.{minor} or newer", f"{name} {least[name]}", VersionRange(low=(3, minor, 0)))
        for minor, name in sorted((_needed(name, version), name) for name, version in least.items())[-1:]
        if minor in _LINES
    ]
    for text, origin, limit in bounds:
        ranges = requested.requirement.ranges if requested else (VersionRange(),)
        within = tuple(both for allowed in ranges if (both := allowed.within(limit)).low < both.high)
        if within and [(both.low, both.high) for both in within] != [(old.low, old.high) for old in ranges]:
            is_free_threaded = requested is not None and requested.requirement.is_free_threaded
            requested = VersionRequest(Requirement(text, within, is_free_threaded), f"`{origin}`")
    return requested


def without_wheel(pins: Mapping[str, str], python_line: str) -> list[str]:
    """Return the packages whose pinned version has no wheel for a Python such as `3.11`."""
    line = line_of(python_line)
    return [name for name, version in pins.items() if line and _first_without(name, version) <= line.low[1]]


def _needed(name: str, version: str) -> int:
    """Return the lowest minor version of Python 3 that a package's version needs, 0 if it needs none."""
    first, minor = _NEEDS.get(name, ("", 0))
    line, limit = line_of(version), line_of(first) if first else None
    return minor if line and limit and line.low >= limit.low else 0


def _first_without(name: str, version: str) -> int:
    """Return the first minor version of Python 3 without a wheel; 15 if all have one, or it is not known."""
    pinned = line_of(version)
    if name not in _FIRST or pinned is None:
        return 15
    for minor, first in zip(_LINES, _FIRST[name].split(), strict=True):
        first_line = line_of(first)
        if first_line is None or pinned.low < first_line.low:
            return minor
    return 15
