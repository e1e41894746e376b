"""Find out by reading Python source, never by running it, what an app's entry is."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from stackyn_server.buildplan.project import Project

# Larger files are data or generated, and parsing them would cost seconds.
SOURCE_CHARACTERS = 256_000
NAMES = ("main", "app", "wsgi", "asgi", "server", "application", "api", "run", "web", "bot", "index")
FOLDERS = ("", "app/", "src/", "api/", "server/", "backend/", "web/")
MANAGE = "manage.py"


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
    "litestar.Litestar": ("Litestar", Kind.ASGI),
    "blacksheep.Application": ("BlackSheep", Kind.ASGI),
    "django.core.wsgi.get_wsgi_application": ("Django", Kind.WSGI),
    "django.core.asgi.get_asgi_application": ("Django", Kind.ASGI),
}
_MODULES = {"flask": ("Flask", Kind.WSGI), "fastapi": ("FastAPI", Kind.ASGI), "quart": ("Quart", Kind.ASGI)}
_VARIABLES = ("app", "application", "api", "server")
_FACTORIES = ("create_app", "make_app", "get_app", "build_app")
_RAW = {("scope", "receive", "send"): Kind.ASGI, ("environ", "start_response"): Kind.WSGI}


@dataclass(frozen=True, slots=True)
class Entry:
    """How an app begins. `framework` is empty for plain code; `variable` is empty for a script.

    `search_path` is a folder to put on Python's path, relative to the root, empty for the root itself.
    """

    path: str
    module: str
    kind: Kind
    framework: str = ""
    variable: str = ""
    is_factory: bool = False
    search_path: str = ""
    imports: frozenset[str] = frozenset()

    @property
    def target(self) -> str:
        return f"{self.module}:{self.variable}"


def candidates(files: frozenset[str]) -> Iterator[str]:
    """Yield the source files that are worth reading, the likeliest first."""
    if MANAGE in files:
        yield MANAGE
        yield from sorted(
            path for path in files if path.count("/") == 1 and path.endswith(("/wsgi.py", "/asgi.py"))
        )
    for folder in FOLDERS:
        names = (*NAMES, "__init__", "__main__") if folder else NAMES
        yield from (path for name in names if (path := f"{folder}{name}.py") in files)


def find_entry(project: Project) -> Entry | None:
    """Return the likeliest entry: a web application anywhere before a script, or None."""
    entries = [entry for path in candidates(project.files) if (entry := _read(project, path))]
    web = next((entry for entry in entries if entry.kind is not Kind.SCRIPT), None)
    return web or next(iter(entries), None)


def _read(project: Project, path: str) -> Entry | None:
    text = project.text(path)
    if text is None or len(text) > SOURCE_CHARACTERS or path == MANAGE:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tenant's code, not ours
            body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    imported = dict(_imports(body))
    module, search_path = _module_of(project, path)
    imports = frozenset(name.split(".")[0] for name in imported.values())
    found = _application(body, imported)
    if found is None:
        is_script = not path.endswith("__init__.py") and _does_something(body)
        return (
            Entry(path, module, Kind.SCRIPT, search_path=search_path, imports=imports) if is_script else None
        )
    variable, framework, kind, is_factory = found
    return Entry(path, module, kind, framework, variable, is_factory, search_path, imports)


def _module_of(project: Project, path: str) -> tuple[str, str]:
    folder, _, name = path.removesuffix(".py").rpartition("/")
    if name == "__init__":
        return folder, ""
    if not folder:
        return name, ""
    if folder == "src" and not project.has("src/__init__.py"):
        return name, folder
    return f"{folder}.{name}", ""


def _imports(body: Iterable[ast.stmt]) -> Iterator[tuple[str, str]]:
    """Yield (name in this file, full name)."""
    for node in body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (
                    alias.asname or alias.name.split(".")[0],
                    alias.name if alias.asname else alias.name.split(".")[0],
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Try):
            yield from _imports(node.body)


def _application(body: list[ast.stmt], imported: dict[str, str]) -> tuple[str, str, Kind, bool] | None:
    """Return variable, framework, kind, and whether the variable is a factory, of a web application in this file."""
    likely = next(
        (_MODULES[module] for name in imported.values() if (module := name.split(".")[0]) in _MODULES), None
    )
    unknown = None
    for node in body:
        for variable, value in _assigned(node):
            full_name = _full_name(value.func, imported)
            if full_name in _FRAMEWORKS:
                return variable, *_FRAMEWORKS[full_name], False
            if variable in _VARIABLES and full_name.split(".")[-1] in _FACTORIES:
                unknown = variable, *(likely or ("", Kind.WSGI)), False
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            raw = _RAW.get(tuple(argument.arg for argument in node.args.args))
            if raw and node.name in _VARIABLES:
                return node.name, "", raw, False
            if node.name in _FACTORIES and likely and unknown is None:
                unknown = node.name, *likely, True
    return unknown


def _assigned(node: ast.stmt) -> Iterator[tuple[str, ast.Call]]:
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
        yield from ((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))
    elif (
        isinstance(node, ast.AnnAssign)
        and isinstance(node.value, ast.Call)
        and isinstance(node.target, ast.Name)
    ):
        yield node.target.id, node.value


def _full_name(node: ast.expr, imported: dict[str, str]) -> str:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([imported.get(node.id, node.id), *reversed(names)])


def _does_something(body: Iterable[ast.stmt]) -> bool:
    """True when running the file does more than define things: a call, a loop, or `if __name__ == "__main__"`."""
    doers = (ast.If, ast.For, ast.While, ast.With, ast.AsyncWith)
    return any(
        isinstance(node, doers)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await))
        for node in body
    )
