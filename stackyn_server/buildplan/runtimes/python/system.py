"""The Debian packages that a Python project's packages need to be compiled and to run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stackyn_server.buildplan.generated.instructions import SystemPackages

_COMPILER = ("build-essential", "pkg-config")


@dataclass(frozen=True, slots=True)
class _Need:
    """`build` is None for a package that comes compiled and needs Debian packages only to run."""

    build: tuple[str, ...] | None
    run: tuple[str, ...] = ()


# Names that all suites of Debian have. Packages with an empty `build` compile without further headers.
_NEEDS: Mapping[str, _Need] = {
    "psycopg2": _Need(("libpq-dev",), ("libpq5",)),
    "psycopg": _Need(None, ("libpq5",)),
    "psycopg-c": _Need(("libpq-dev",), ("libpq5",)),
    "mysqlclient": _Need(("default-libmysqlclient-dev",), ("libmariadb3",)),
    "pyodbc": _Need(None, ("unixodbc",)),
    "pycairo": _Need(("libcairo2-dev",), ("libcairo2",)),
    "cairocffi": _Need(None, ("libcairo2",)),
    "cairosvg": _Need(None, ("libcairo2",)),
    "weasyprint": _Need(
        None, ("libpango-1.0-0", "libpangoft2-1.0-0", "libharfbuzz-subset0", "fonts-dejavu-core")
    ),
    "pycurl": _Need(("libcurl4-openssl-dev", "libssl-dev"), ("libcurl4",)),
    "xmlsec": _Need(("libxmlsec1-dev",), ("libxmlsec1-openssl",)),
    "python-ldap": _Need(("libldap2-dev", "libsasl2-dev"), ("libldap2-dev",)),
    "m2crypto": _Need(("libssl-dev", "swig")),
    "pygraphviz": _Need(("graphviz", "libgraphviz-dev"), ("graphviz",)),
    "graphviz": _Need(None, ("graphviz",)),
    "pyaudio": _Need(("portaudio19-dev",), ("libportaudio2",)),
    "pyzbar": _Need(None, ("libzbar0",)),
    "python-magic": _Need(None, ("libmagic1",)),
    "pytesseract": _Need(None, ("tesseract-ocr",)),
    "pdf2image": _Need(None, ("poppler-utils",)),
    "pydub": _Need(None, ("ffmpeg",)),
    "ffmpeg-python": _Need(None, ("ffmpeg",)),
    "openai-whisper": _Need(None, ("ffmpeg",)),
    "opencv-python": _Need(None, ("libgl1", "libglib2.0-0")),
    "opencv-contrib-python": _Need(None, ("libgl1", "libglib2.0-0")),
    "gitpython": _Need(None, ("git",)),
    "dlib": _Need(("cmake",)),
    **{name: _Need(()) for name in ("uwsgi", "pyuwsgi", "netifaces", "fasttext", "hnswlib", "annoy")},
    **{name: _Need(()) for name in ("python-snappy", "pyahocorasick")},
}
# The needs of packages that mostly come compiled, where no wheel fits. Others need only a compiler.
_SOURCES: Mapping[str, _Need] = {
    "psycopg2-binary": _NEEDS["psycopg2"],
    "cffi": _Need(("libffi-dev",)),
    "lxml": _Need(("libxml2-dev", "libxslt1-dev"), ("libxml2", "libxslt1.1")),
    "pyzmq": _Need(("libzmq3-dev",), ("libzmq5",)),
    "confluent-kafka": _Need(("librdkafka-dev",), ("librdkafka1",)),
}


def system_packages(
    names: Iterable[str],
    extras: Mapping[str, frozenset[str]],
    python_line: str,
    *,
    is_debian_python: bool,
    uses_git: bool,
    without_wheel: Iterable[str] = (),
) -> SystemPackages:
    """Return the Debian packages that packages of these normalised names need. `extras`: those that the project names.

    `python_line` is as in `3.11`. `is_debian_python`: Python's headers are a Debian package, as in a base image made
    without a registry; an official image has them. `without_wheel` are the packages that have to be compiled.
    """
    build: list[str] = ["git", "ca-certificates"] if uses_git else []
    run: list[str] = []
    causes: list[str] = []
    dependencies = set(names)
    compiled = frozenset(without_wheel)
    psycopg_extras = extras.get("psycopg", frozenset())
    if "c" in psycopg_extras:
        dependencies.add("psycopg-c")
    if "binary" in psycopg_extras or "psycopg-binary" in dependencies:
        dependencies.discard("psycopg")
    for name in sorted(dependencies):
        need = _SOURCES.get(name, _Need(())) if name in compiled else _NEEDS.get(name)
        if need is None:
            continue
        causes.append(name)
        run.extend(need.run)
        if name == "uwsgi" and is_debian_python:
            run.append(f"libpython{python_line}")
        if need.build is not None:
            build += [*_COMPILER, *need.build, *([f"python{python_line}-dev"] if is_debian_python else [])]
    return SystemPackages.of(build, run, causes, bool(build))
