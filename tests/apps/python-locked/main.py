"""A small ASGI app whose packages are pinned by a lock file."""

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def hello(request: Request) -> JSONResponse:
    greeting = os.environ.get("GREETING", "Hello from a locked project")
    return JSONResponse({"greeting": greeting, "port": os.environ.get("PORT"), "user": os.getuid()})


async def health(request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


app = Starlette(routes=[Route("/", hello), Route("/health", health)])
