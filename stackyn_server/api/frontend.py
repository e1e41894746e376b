"""Serves the built web clients, each at its own host name, on a port apart from the API.

Addresses that are no file get `index.html`, because the pages find their way themselves; one that names a file (it has
an extension) and one below `assets/` are 404 when they are not there, so that a page of yesterday doesn't read today's
`index.html` as its script.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from stackyn_server.config import FrontendSettings
from stackyn_server.errors import StackynError

if TYPE_CHECKING:
    from aiohttp.web_request import Request

_BASES = {"cms": "/cms/"}
_INDEX = "index.html"
_ASSETS = "assets"  # the build tool puts the hash of a file's content into its name
_IMMUTABLE = "public, max-age=31536000, immutable"
_ONE_HOUR = "public, max-age=3600"
_REVALIDATED = "no-cache"


class FrontendMissing(StackynError):
    code = "CONFIG_INVALID"


@dataclass(frozen=True, slots=True)
class WebClient:
    """A built client: its folder, and the base path that it was built for."""

    folder: Path
    base: str = "/"


def web_clients(settings: FrontendSettings) -> dict[str, WebClient]:
    """Return the configured clients by label of their host name. Raises `FrontendMissing` where no page is."""
    for label, folder in settings.folders.items():
        if not (Path(folder) / _INDEX).is_file():
            raise FrontendMissing(
                f"[frontend] {label} names {folder}, where no {_INDEX} is.",
                hint="Name the folder that the client's build wrote.",
            )
    return {
        label: WebClient(Path(folder).resolve(), _BASES.get(label, "/"))
        for label, folder in settings.folders.items()
    }


def create_frontend_app(web_clients: Mapping[str, WebClient], base_domain: str) -> web.Application:
    """Return the application that serves each of `web_clients` at `<label>.<base_domain>`."""
    by_host = {f"{label}.{base_domain}": client for label, client in web_clients.items()}

    async def serve(request: Request) -> web.StreamResponse:
        client = by_host.get(request.host.partition(":")[0].lower())
        if client is None:
            raise web.HTTPNotFound
        if not request.path.startswith(client.base):
            raise web.HTTPFound(client.base)
        path = request.path.removeprefix(client.base)
        file = await asyncio.to_thread(_find, client.folder, path)
        if file is None:
            raise web.HTTPNotFound
        return web.FileResponse(
            file, headers={hdrs.CACHE_CONTROL: _cache_control(file.relative_to(client.folder))}
        )

    async def protect(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Content-Security-Policy"] = "frame-ancestors 'none'"

    app = web.Application()
    app.router.add_get("/{path:.*}", serve)
    app.on_response_prepare.append(protect)
    return app


def _find(folder: Path, path: str) -> Path | None:
    """Return the file that answers `path`, never one outside `folder` (by `..` or by a link)."""
    try:
        file = (folder / path).resolve()
        if not file.is_relative_to(folder):
            return None
        if file.is_file():
            return file
    except (OSError, ValueError):  # longer than a name may be, or with a NUL
        return None
    names_a_file = bool(file.suffix) or file.is_relative_to(folder / _ASSETS)
    return None if names_a_file else folder / _INDEX


def _cache_control(file: Path) -> str:
    if file.parts[0] == _ASSETS:
        return _IMMUTABLE
    return _REVALIDATED if file.name == _INDEX else _ONE_HOUR
