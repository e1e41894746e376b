"""Finds the web application in a Python source: its variable or factory, its framework and its interface."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from enum import StrEnum


class AppInterface(StrEnum):
    WSGI = "WSGI"
    ASGI = "ASGI"
    SCRIPT = "script"


# Constructors of web applications by their full names.
_FRAMEWORKS = {
    "flask.Flask": ("Flask", AppInterface.WSGI),
    "bottle.Bottle": ("Bottle", AppInterface.WSGI),
    "bottle.default_app": ("Bottle", AppInterface.WSGI),
    "falcon.App": ("Falcon", AppInterface.WSGI),
    "falcon.asgi.App": ("Falcon", AppInterface.ASGI),
    "fastapi.FastAPI": ("FastAPI", AppInterface.ASGI),
    "starlette.applications.Starlette": ("Starlette", AppInterface.ASGI),
    "quart.Quart": ("Quart", AppInterface.ASGI),
    "sanic.Sanic": ("Sanic", AppInterface.ASGI),
    "litestar.Litestar": ("Litestar", AppInterface.ASGI),
    "blacksheep.Application": ("BlackSheep", AppInterface.ASGI),
    "connexion.App": ("Connexion", AppInterface.ASGI),
    "connexion.FlaskApp": ("Connexion", AppInterface.ASGI),
    "connexion.AsyncApp": ("Connexion", AppInterface.ASGI),
    "shiny.App": ("Shiny", AppInterface.ASGI),
    "socketio.ASGIApp": ("Socket.IO", AppInterface.ASGI),
    "socketio.WSGIApp": ("Socket.IO", AppInterface.WSGI),
    "fasthtml.common.fast_app": ("FastHTML", AppInterface.ASGI),
    "fasthtml.common.FastHTML": ("FastHTML", AppInterface.ASGI),
    "fasthtml.fast_app": ("FastHTML", AppInterface.ASGI),
    "fasthtml.FastHTML": ("FastHTML", AppInterface.ASGI),
    "django.core.wsgi.get_wsgi_application": ("Django", AppInterface.WSGI),
    "django.core.asgi.get_asgi_application": ("Django", AppInterface.ASGI),
    "channels.routing.ProtocolTypeRouter": ("Django", AppInterface.ASGI),
}
# Dash serves through the Flask app that it has as an attribute.
_DASH = ("dash.Dash", "dash_extensions.enrich.DashProxy")
_MODULES = {
    "flask": ("Flask", AppInterface.WSGI),
    "fastapi": ("FastAPI", AppInterface.ASGI),
    "quart": ("Quart", AppInterface.ASGI),
    "fasthtml": ("FastHTML", AppInterface.ASGI),
}
_VARIABLES = ("app", "application", "api", "server")
_FACTORIES = ("create_app", "make_app", "get_app", "build_app", "create_application")
_RAW = {("scope", "receive", "send"): AppInterface.ASGI, ("environ", "start_response"): AppInterface.WSGI}


def application_of(
    body: Iterable[ast.stmt], imported: dict[str, str]
) -> tuple[str, str, AppInterface, bool] | None:
    """Return the variable, framework and interface of the file's web application, and whether it is a factory."""
    likely = next(
        (_MODULES[module] for name in imported.values() if (module := name.split(".")[0]) in _MODULES), None
    )
    application = possible = None
    for node in body:
        for variable, value in _assigned(node):
            full_name = _full_name(value.func, imported)
            if application and not _wraps(variable, value, application[0]):
                continue
            if full_name in _FRAMEWORKS:
                application = variable, *_FRAMEWORKS[full_name], False
            elif full_name in _DASH:
                return f"{variable}.server", "Dash", AppInterface.WSGI, False
            elif application:  # something around the application, such as middleware
                application = variable, *application[1:]
            elif variable in _VARIABLES and full_name.split(".")[-1] in _FACTORIES:
                possible = variable, *(likely or ("", AppInterface.WSGI)), False
        if application or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        raw = _RAW.get(tuple(argument.arg for argument in node.args.args))
        if raw and node.name in _VARIABLES:
            return node.name, "", raw, False
        if node.name in _FACTORIES and likely and possible is None:
            possible = node.name, *likely, True
    return application or possible


def _wraps(variable: str, call: ast.Call, inner_variable: str) -> bool:
    """True for `app = Middleware(known)`: the outer one is the application if only it has a usual name."""
    usual_names = ("app", "application")
    if inner_variable in usual_names or variable not in usual_names:
        return False
    return any(isinstance(node, ast.Name) and node.id == inner_variable for node in ast.walk(call))


def _assigned(node: ast.stmt) -> Iterator[tuple[str, ast.Call]]:
    """Yield each variable that gets the result of a call, and the call; of several variables the first."""
    if isinstance(node, ast.If | ast.Try):
        for inner in node.body:
            yield from _assigned(inner)
        return
    if not isinstance(node, ast.Assign | ast.AnnAssign) or not isinstance(node.value, ast.Call):
        return
    for target in node.targets if isinstance(node, ast.Assign) else (node.target,):
        first = target.elts[0] if isinstance(target, ast.Tuple) and target.elts else target
        if isinstance(first, ast.Name):
            yield first.id, node.value


def _full_name(node: ast.expr, imported: dict[str, str]) -> str:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    star = imported.get("*", "").removesuffix(".*")
    first = imported.get(node.id) or (f"{star}.{node.id}" if star else node.id)
    return ".".join([first, *reversed(names)])
