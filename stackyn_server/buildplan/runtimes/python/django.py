"""Reads in a Django project's settings whether the build collects static files, and whether ASGI serves it."""

from __future__ import annotations

import re
from itertools import islice

from stackyn_server.buildplan.project import Project
from stackyn_server.buildplan.runtimes.python.entry import MANAGE, manage_folder

_MOST_FILES = 12
# Settings often refuse to load without a key, though collecting needs none. The image has none of these values.
_KEYS = ("SECRET_KEY", "DJANGO_SECRET_KEY")
_SETTINGS = re.compile(r"(?:[^/]*/){0,2}settings\.py|(?:[^/]*/)?settings/[^/]*\.py")


def settings_files(files: frozenset[str]) -> tuple[str, ...]:
    """Return the settings modules below manage.py: `<package>/settings.py` and those of a folder of settings."""
    base = manage_folder(files)
    if base is None:
        return ()
    below = (path for path in sorted(files) if path.startswith(base))
    return tuple(islice((path for path in below if _SETTINGS.fullmatch(path, len(base))), _MOST_FILES))


def collect_command(project: Project) -> str | None:
    """Return the command that collects static files, for settings with `STATIC_ROOT` and the app that serves them.

    A failure does not end the build: settings may need variables that are only there when the app runs.
    """
    base = manage_folder(project.files)
    lines = _settings_lines(project)
    has_root = any(line.startswith("STATIC_ROOT") for line in lines)
    if base is None or not has_root or not any("django.contrib.staticfiles" in line for line in lines):
        return None
    keys = " ".join(f'{key}="${{{key}:-only-to-collect-static-files}}"' for key in _KEYS)
    warning = "Static files were not collected: see above why. Pages that use them will lack them."
    return f"{keys} python {base}{MANAGE} collectstatic --noinput || echo '{warning}'"


def prefers_asgi(project: Project) -> bool:
    """True when the settings name an ASGI application only."""
    lines = _settings_lines(project)
    has_asgi = any(line.startswith("ASGI_APPLICATION") for line in lines)
    return has_asgi and not any(line.startswith("WSGI_APPLICATION") for line in lines)


def _settings_lines(project: Project) -> list[str]:
    texts = (project.text(path) or "" for path in settings_files(project.files))
    return [line for text in texts for line in text.splitlines()]
