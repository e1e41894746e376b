"""Which web application a Python source makes: its variable or factory, its framework and the interface it has."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from enum import StrEnum


class Kind(StrEnum):
    WSGI = "WSGI"
    ASGI = "ASGI"
    SCRIPT = "script"


# Constructors of web applications by their full names.
_FRAMEWORKS = {
    "flask.Flask": ("Flask", Kind.WSGI),
    "bottle.Bottle": ("Bottle", Kind.WSGI),
    "bottle.default_app": ("Bottle", Kind.WSGI),
    "falcon.App": ("Falcon", Kind.WSGI),
    "falcon.asgi.App": ("Falcon", Kind.ASGI),
    "fastapi.FastAPI": ("FastAPI", Kind.ASGI),
    "starlette.applications.Starlette": ("Starlette", Kind.ASGI),
    "quart.Quart": ("Quart", Kind.ASGI),
    "sanic.Sanic": ("Sanic", Kind.ASGI),
    "litestar.Litestar": ("Litestar", Kind.ASGI),
    "blacksheep.Application": ("BlackSheep", Kind.ASGI),
    "connexion.App": ("Connexion", Kind.ASGI),
    "connexion.FlaskApp": ("Connexion", Kind.ASGI),
    "connexion.AsyncApp": ("Connexion", Kind.ASGI),
    "shiny.App": ("Shiny", Kind.ASGI),
    "socketio.ASGIApp": ("Socket.IO", Kind.ASGI),
    "socketio.WSGIApp": ("Socket.IO", Kind.WSGI),
    "fasthtml.common.fast_app": ("FastHTML", Kind.ASGI),
    "fasthtml.common.FastHTML": ("FastHTML", Kind.ASGI),
    "fasthtml.fast_app": ("FastHTML", Kind.ASGI),
    "fasthtml.FastHTML": ("FastHTML", Kind.ASGI),
    "django.core.wsgi.get_wsgi_application": ("Django", Kind.WSGI),
    "django.core.asgi.get_asgi_application": ("Django", Kind.ASGI),
    "channels.routing.ProtocolTypeRouter": ("Django", Kind.ASGI),
}
# Dash serves through the Flask app that it has as an attribute.
_DASH = ("dash.Dash", "dash_extensions.enrich.DashProxy")
_MODULES = {
    "flask": ("Flask", Kind.WSGI),
    "fastapi": ("FastAPI", Kind.ASGI),
    "quart": ("Quart", Kind.ASGI),
    "fasthtml": ("FastHTML", Kind.ASGI),
}
_VARIABLES = ("app", "application", "api", "server")
_FACTORIES = ("create_app", "make_app", "get_app", "build_app", "create_application")
_RAW = {("scope", "receive", "send"): Kind.ASGI, ("environ", "start_response"): Kind.WSGI}


def application_of(body: Iterable[ast.stmt], imported: dict[str, str]) -> tuple[str, str, Kind, bool] | None:
    """Return variable, framework, kind, and whether the variable is a factory, of a web application in this file."""
    likely = next(
        (_MODULES[module] for name in imported.values() if (module := name.split(".")[0]) in _MODULES), None
    )
    known = unknown = None
    for node in body:
        for variable, value in _assigned(node):
            full_name = _full_name(value.func, imported)
            if known and not _goes_around(variable, value, known[0]):
                continue
            if full_name in _FRAMEWORKS:
                known = variable, *_FRAMEWORKS[full_name], False
            elif full_name in _DASH:
                return f"{variable}.server", "Dash", Kind.WSGI, False
            elif known:  # something around the application, such as middleware
                known = variable, *known[1:]
            elif variable in _VARIABLES and full_name.split(".")[-1] in _FACTORIES:
                unknown = variable, *(likely or ("", Kind.WSGI)), False
        if known or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        raw = _RAW.get(tuple(argument.arg for argument in node.args.args))
        if raw and node.name in _VARIABLES:
            return node.name, "", raw, False
        if node.name in _FACTORIES and likely and unknown is None:
            unknown = node.name, *likely, True
    return known or unknown


def _goes_around(variable: str, call: ast.Call, known: str) -> bool:
    """True for `app = Middleware(known)`: it is the application, where that has another name than the usual ones."""
    usual = ("app", "application")
    if known in usual or variable not in usual:
        return False
    return any(isinstance(node, ast.Name) and node.id == known for node in ast.walk(call))


def _assigned(node: ast.stmt) -> Iterator[tuple[str, ast.Call]]:
    """Yield the variables that get the result of a call, and the call; of several at once the first one."""
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
