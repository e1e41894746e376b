"""Reads in a Django project's settings whether the build collects static files, and whether ASGI serves it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from stackyn_server.buildplan.project import Project
from stackyn_server.buildplan.runtimes.python.entry import MANAGE, manage_folder

_MOST_FILES = 12
# Settings often refuse to load without a key, though collecting needs none. The image has none of these values.
_KEYS = ("SECRET_KEY", "DJANGO_SECRET_KEY")


def settings_files(files: frozenset[str]) -> tuple[str, ...]:
    """Return the settings modules below manage.py: `<package>/settings.py` and those of a folder of settings."""
    return tuple(islice(_settings(files), _MOST_FILES))


def _settings(files: frozenset[str]) -> Iterator[str]:
    base = manage_folder(files)
    if base is None:
        return
    for path in sorted(files):
        parts = path.removeprefix(base).split("/")
        is_settings = len(parts) <= 3 and (
            parts[-1] == "settings.py" or (len(parts) > 1 and parts[-2] == "settings")
        )
        if path.startswith(base) and path.endswith(".py") and is_settings:
            yield path


def collect_command(project: Project) -> str | None:
    """Return the command that collects static files, for settings with `STATIC_ROOT` and the app that serves them.

    A failure does not end the build: settings may need variables that are only there when the app runs.
    """
    base = manage_folder(project.files)
    lines = [
        line for path in settings_files(project.files) for line in (project.text(path) or "").splitlines()
    ]
    has_root = any(line.startswith("STATIC_ROOT") for line in lines)
    if base is None or not has_root or not any("django.contrib.staticfiles" in line for line in lines):
        return None
    keys = " ".join(f'{key}="${{{key}:-only-to-collect-static-files}}"' for key in _KEYS)
    warning = "Static files were not collected: see above why. Pages that use them will lack them."
    return f"{keys} python {base}{MANAGE} collectstatic --noinput || echo '{warning}'"


def prefers_asgi(project: Project) -> bool:
    """True when the settings name an ASGI application only."""
    lines = [
        line for path in settings_files(project.files) for line in (project.text(path) or "").splitlines()
    ]
    asgi, wsgi = (
        any(line.startswith(name) for line in lines) for name in ("ASGI_APPLICATION", "WSGI_APPLICATION")
    )
    return asgi and not wsgi
