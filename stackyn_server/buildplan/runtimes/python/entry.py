"""Finds an app's entry by reading the Python source, never by running it."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from stackyn_server.buildplan.project import Project
from stackyn_server.buildplan.runtimes.python.application import AppInterface, application_of

# Larger files are data or generated, and parsing them would cost seconds.
SOURCE_CHARACTERS = 256_000
_MOST_NAME_PARTS = 100
MOST_FILES = 80
NAMES = (
    "main", "app", "wsgi", "asgi", "server", "application", "api", "run", "web", "bot", "index", "streamlit_app",
    "Home", "gradio_app", "demo", "manage_app", "start", "__init__", "__main__",
)  # fmt: skip
DEEPEST_FOLDER = 3
FOLDERS = ("", "app/", "src/", "api/", "server/", "backend/", "web/")
_NO_APPS = frozenset(
    ("tests", "test", "docs", "migrations", "scripts", "node_modules", "examples", "alembic")
)
_NO_SCRIPTS = (
    "setup.py", "conftest.py", "noxfile.py", "fabfile.py", "tasks.py", "manage.py", "gunicorn.conf.py",
)  # fmt: skip
MANAGE = "manage.py"
_GATEWAY_FILES = {"wsgi.py": AppInterface.WSGI, "asgi.py": AppInterface.ASGI}
# Packages with a command of their own that runs a script.
_STARTED = frozenset(("streamlit", "gradio", "chainlit", "panel", "shiny", "marimo"))


@dataclass(frozen=True, slots=True)
class PythonEntry:
    """Where an app starts. `framework` is empty for plain code; `variable` is empty for a script.

    `search_path` is a folder to put on Python's path, relative to the root, empty for the root itself. `is_module`: a
    script that imports from its own package, and has to be run with `-m`.
    """

    path: str
    module: str
    interface: AppInterface
    framework: str = ""
    variable: str = ""
    is_factory: bool = False
    search_path: str = ""
    imports: frozenset[str] = frozenset()
    is_module: bool = False

    @property
    def is_web(self) -> bool:
        return self.interface is not AppInterface.SCRIPT

    @property
    def target(self) -> str:
        return f"{self.module}:{self.variable}"

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders above the file but the root, each with a slash at its end."""
        return tuple(folder for folder in _folders_above(self.path) if folder)


@dataclass(frozen=True, slots=True)
class _ProjectLayout:
    """Facts that all sources share: Django's folder, and the modules of each folder."""

    django: str | None
    modules: Mapping[str, frozenset[str]]


def manage_folder(files: frozenset[str]) -> str | None:
    """Return the folder of Django's manage.py, as `""` or `backend/`: in the root or one folder down; None without."""
    if MANAGE in files:
        return ""
    scripts = sorted(path for path in files if path.count("/") == 1 and path.endswith(f"/{MANAGE}"))
    return scripts[0].removesuffix(MANAGE) if scripts else None


def candidate_files(files: frozenset[str]) -> tuple[str, ...]:
    """Return a limited number of source files that may have the entry, the likeliest first."""
    likely = (path for path in _likely(files) if path in files)
    return tuple(islice(dict.fromkeys((*likely, *_distant_files(files))), MOST_FILES))


def _distant_files(files: frozenset[str]) -> list[str]:
    """Return the files with a usual name in folders that no convention names, the nearest first."""
    names = {f"{name}.py" for name in NAMES if not name.startswith("__")}
    paths = [
        path
        for path in files.difference(_likely(files))
        if path.rpartition("/")[2] in names
        and 0 < path.count("/") <= DEEPEST_FOLDER
        and _NO_APPS.isdisjoint(path.split("/"))
    ]
    return sorted(paths, key=lambda path: (path.count("/"), path))


def _likely(files: frozenset[str]) -> Iterator[str]:
    base = manage_folder(files)
    if base is not None:
        depth = base.count("/") + 1
        yield from sorted(
            path
            for path in files
            if path.startswith(base) and path.count("/") == depth and path.endswith(tuple(_GATEWAY_FILES))
        )
    packages = sorted(_packages(files))
    for folder in (*FOLDERS, *packages):
        for name in NAMES:
            if folder or not name.startswith("__"):
                yield f"{folder}{name}.py"
    yield from _lone_scripts(files)


def _packages(files: frozenset[str]) -> Iterator[str]:
    """Yield the folders, with a slash at the end, that are packages in the root or in `src`."""
    for path in files:
        folder, _, name = path.rpartition("/")
        package = folder.removeprefix("src/")
        if name == "__init__.py" and "/" not in package and package not in _NO_APPS:
            yield f"{folder}/"


def _lone_scripts(files: frozenset[str]) -> list[str]:
    """Return the root's scripts that may be the app if none has a usual name; none if there are more than 5."""
    modules = (path for path in files if "/" not in path and path.endswith(".py"))
    scripts = sorted(path for path in modules if path not in _NO_SCRIPTS and not path.startswith("test"))
    return scripts if len(scripts) <= 5 else []


def find_entries(project: Project) -> list[PythonEntry]:
    """Return the entries that the source has, the likeliest first: web applications before scripts."""
    distant = frozenset(_distant_files(project.files))
    all_entries = _read_entries(project, candidate_files(project.files))
    entries = [entry for entry in all_entries if entry.path not in distant]
    lone = _lone_scripts(project.files)
    unnamed = [path for path in lone if path.removesuffix(".py") not in NAMES]
    web, nearest = [entry for entry in entries if entry.is_web], _nearest_apps(all_entries)
    if not web and len(nearest) == 1:
        web = nearest
    # A script of another name is an app only when it is the only one, or when a framework starts it.
    scripts = [
        entry
        for entry in entries
        if not entry.is_web and (entry.path not in unnamed or len(lone) == 1 or entry.imports & _STARTED)
    ]
    return [*web, *sorted(scripts, key=lambda entry: not entry.imports & _STARTED)]


def competing_apps(project: Project) -> list[PythonEntry]:
    """Return the web applications that are equally near to the root, so that none of them is the entry."""
    return _nearest_apps(_read_entries(project, _distant_files(project.files)))


def first_syntax_error(project: Project) -> str | None:
    """Return the first syntax error in the files with a usual name: `app.py, line 2: '(' was never closed`."""
    for path in candidate_files(project.files):
        try:
            _parse((project.text(path) or "")[:SOURCE_CHARACTERS])
        except SyntaxError as error:
            return f"{path}, line {error.lineno or 1}: {error.msg}"
    return None


def _nearest_apps(entries: list[PythonEntry]) -> list[PythonEntry]:
    """Return the web applications that are nearest to the root."""
    web = [entry for entry in entries if entry.is_web]
    depth = min((entry.path.count("/") for entry in web), default=0)
    return [entry for entry in web if entry.path.count("/") == depth]


def _read_entries(project: Project, paths: Iterable[str]) -> list[PythonEntry]:
    paths = tuple(paths)
    layout = _ProjectLayout(manage_folder(project.files), _modules_by_folder(project.files, paths))
    return [entry for path in paths if (entry := _read(project, path, layout))]


def _read(project: Project, path: str, layout: _ProjectLayout) -> PythonEntry | None:
    text = project.text(path)
    if text is None or len(text) > SOURCE_CHARACTERS:
        return None
    body = _parsed(text)
    if body is None:
        # Newer syntax than this Python's: read the statements that can be read.
        body = [node for part in _top_level_parts(text) for node in _parsed(part) or ()]
    imported = dict(_imports(body))
    imports = frozenset(name.split(".")[0] for name in imported.values())
    module, search_path = _module_of(project, path, layout, imports)
    application = application_of(body, imported) or _imported_application(path, imported, imports)
    if application is not None:
        variable, framework, interface, is_factory = application
        return PythonEntry(path, module, interface, framework, variable, is_factory, search_path, imports)
    if path.endswith("__init__.py") or not _does_something(body):
        return None
    package = module.split(".")[0]
    own = package in imports and "." in module
    is_module = path.endswith("__main__.py") or own or _is_relative(body)
    return PythonEntry(
        path, module, AppInterface.SCRIPT, search_path=search_path, imports=imports, is_module=is_module
    )


def _parsed(text: str) -> list[ast.stmt] | None:
    try:
        return _parse(text)
    except SyntaxError:
        return None


def _parse(text: str) -> list[ast.stmt] | None:
    """Return the statements, None for a text that costs too much to parse. Raises `SyntaxError`."""
    if _has_endless_name(text):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tenant's code, not ours
            return ast.parse(text).body
    except (ValueError, RecursionError, MemoryError):
        return None


def _has_endless_name(text: str) -> bool:
    """True for a name such as `a.b.c` with very many parts, which Python parses in quadratic time after `import`."""
    in_a_row = 0
    for part in text.replace("\\\n", "").split("."):
        in_a_row = in_a_row + 1 if part.strip().isidentifier() else 0
        if in_a_row > _MOST_NAME_PARTS:
            return True
    return False


def _top_level_parts(text: str) -> Iterator[str]:
    """Yield the source in parts that each begin with an unindented line; together they are as long as the text."""
    lines: list[str] = []
    for line in text.splitlines():
        goes_on = (
            not line.strip() or line[0] in " \t)]}" or line.startswith(("else", "elif", "except", "finally"))
        )
        if lines and not goes_on and not lines[-1].startswith("@"):
            yield "\n".join(lines)
            lines = []
        lines.append(line)
    yield "\n".join(lines)


def _module_of(
    project: Project, path: str, layout: _ProjectLayout, imports: frozenset[str]
) -> tuple[str, str]:
    """Return a file's module, and the folder that must be on Python's path to import it."""
    folder, _, name = path.removesuffix(".py").rpartition("/")
    search_path = ""
    base = layout.django
    if folder.split("/")[0] == "src" and not project.has("src/__init__.py"):
        search_path, folder = "src", folder.removeprefix("src").removeprefix("/")
    elif base and path.startswith(base):
        search_path, folder = base.rstrip("/"), folder.removeprefix(base.rstrip("/")).removeprefix("/")
    elif folder in ("backend", "server") and not project.has(f"{folder}/__init__.py"):
        search_path, folder = folder, ""
    elif imported_from := _search_path(path, layout.modules, imports):
        search_path, folder = imported_from, folder.removeprefix(imported_from).removeprefix("/")
    parts = [part for part in (*folder.split("/"), name) if part and part not in ("__init__", "__main__")]
    return ".".join(parts) or name, search_path


def _modules_by_folder(files: frozenset[str], paths: Iterable[str]) -> Mapping[str, frozenset[str]]:
    """Return for each folder at or above one of `paths` the names that can be imported from it."""
    folders = {folder for path in paths for folder in _folders_above(path)}
    names_by_folder: dict[str, set[str]] = {folder: set() for folder in folders}
    for path in files:
        for folder in _folders_above(path):
            if folder in folders:
                names_by_folder[folder].add(path[len(folder) :].split("/")[0].removesuffix(".py"))
    return {folder: frozenset(names) for folder, names in names_by_folder.items()}


def _folders_above(path: str) -> Iterator[str]:
    """Yield the folders above a file, the root first, each with a slash at its end; not those that lie too deep."""
    yield ""
    parts = path.split("/", DEEPEST_FOLDER + 1)[:-1]
    yield from ("".join(f"{part}/" for part in parts[: depth + 1]) for depth in range(len(parts)))


def _search_path(path: str, modules: Mapping[str, frozenset[str]], imports: frozenset[str]) -> str:
    """Return the folder that must be on Python's path for a file's imports from the project; empty for the root."""
    folders = (folder for folder in _folders_above(path) if modules.get(folder, frozenset()) & imports)
    return next(folders, "").rstrip("/")


def _imports(body: Iterable[ast.stmt]) -> Iterator[tuple[str, str]]:
    """Yield (name in this file, full name); a star stands for itself, with the module as its full name."""
    for node in body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                package = alias.name.split(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (package, package)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Try):
            yield from _imports(node.body)


def _is_relative(body: Iterable[ast.stmt]) -> bool:
    return any(isinstance(node, ast.ImportFrom) and node.level for node in body)


def _imported_application(
    path: str, imported: dict[str, str], imports: frozenset[str]
) -> tuple[str, str, AppInterface, bool] | None:
    """Return the app that wsgi.py or asgi.py only imports, as in `from shop import app as application`."""
    interface = _GATEWAY_FILES.get(path.rpartition("/")[2])
    variable = next((name for name in ("application", "app") if name in imported), None)
    if interface is None or variable is None:
        return None
    is_asgi = not imports.isdisjoint(("fastapi", "starlette", "quart"))
    return variable, "", AppInterface.ASGI if is_asgi else interface, False


def _does_something(body: Iterable[ast.stmt]) -> bool:
    """True when running the file does more than define things: a call, a loop, or `if __name__ == "__main__"`."""
    doers = (ast.If, ast.For, ast.While, ast.With, ast.AsyncWith)
    return any(
        isinstance(node, doers)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await))
        for node in body
    )
