"""The description of the API for programs (`/openapi.json`) and for people (`/docs`).

The page is Swagger UI as a package brings it; nothing is loaded from anywhere else, and its content policy says so.
"""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

from aiohttp import hdrs, web

from stackyn_server.api.endpoint import Endpoint
from stackyn_server.api.openapi import document

# Only the package's folder of files is used; located once, before any event loop runs.
_FOLDER = Path(str(distribution("flask-swagger-ui").locate_file("flask_swagger_ui/dist")))
_FILES = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png")
_CACHE_CONTROL = "public, max-age=86400"
_CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # Swagger UI sets style attributes
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Stackyn server API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="reference"></div>
<noscript>The same as plain data: <a href="/openapi.json">/openapi.json</a></noscript>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START = (
    'SwaggerUIBundle({url: "/openapi.json", dom_id: "#reference", deepLinking: true, validatorUrl: null});\n'
)


def install(app: web.Application, endpoints: tuple[Endpoint, ...]) -> None:
    """Add both to `app`. They describe the endpoint table, so they are not in it."""
    described = web.json_response(document(endpoints)).body

    async def describe(_request: web.Request) -> web.Response:
        return web.Response(body=described, content_type="application/json")

    async def page(_request: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": _CONTENT_POLICY, "Referrer-Policy": "no-referrer"}
        return web.Response(text=_PAGE, content_type="text/html", headers=headers)

    async def start(_request: web.Request) -> web.Response:
        return web.Response(text=_START, content_type="text/javascript")

    async def file(request: web.Request) -> web.FileResponse:
        name = request.path.rpartition("/")[2]
        return web.FileResponse(_FOLDER / name, headers={hdrs.CACHE_CONTROL: _CACHE_CONTROL})

    app.router.add_resource("/openapi.json").add_route(hdrs.METH_GET, describe)
    app.router.add_resource("/docs").add_route(hdrs.METH_GET, page)
    app.router.add_resource("/docs/start.js").add_route(hdrs.METH_GET, start)
    for name in _FILES:
        app.router.add_resource(f"/docs/{name}").add_route(hdrs.METH_GET, file)
