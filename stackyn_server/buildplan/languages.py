"""The language of a repository by its manifests: for sentences, and to keep sources from being served as a site."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

# In the order in which they are named when there are several.
MANIFESTS = {
    "go.mod": "Go", "go.work": "Go", "Cargo.toml": "Rust", "pom.xml": "Java", "build.gradle": "Java",
    "build.gradle.kts": "Kotlin", "settings.gradle": "Java", "settings.gradle.kts": "Kotlin", "build.sbt": "Scala",
    "composer.json": "PHP", "Gemfile": "Ruby", "mix.exs": "Elixir", "rebar.config": "Erlang", "gleam.toml": "Gleam",
    "deno.json": "Deno", "deno.jsonc": "Deno", "package.json": "Node", "requirements.txt": "Python",
    "pyproject.toml": "Python", "Pipfile": "Python", "setup.py": "Python", "setup.cfg": "Python",
    "environment.yml": "Python (conda)", "uv.lock": "Python", "poetry.lock": "Python", "CMakeLists.txt": "C or C++",
    "meson.build": "C or C++", "Package.swift": "Swift", "pubspec.yaml": "Dart", "project.clj": "Clojure",
    "deps.edn": "Clojure", "stack.yaml": "Haskell", "dune-project": "OCaml", "shard.yml": "Crystal",
    "build.zig": "Zig", "cpanfile": "Perl", "Makefile.PL": "Perl", "renv.lock": "R", "Project.toml": "Julia",
    "v.mod": "V", "global.json": ".NET",
}  # fmt: skip
# The languages that a runtime here is for.
BUILT = frozenset(
    ("Go", "Rust", "Java", "Kotlin", "PHP", "Ruby", "Elixir", "Deno", "Node", "Python", "C or C++", ".NET")
)
_PROJECT_SUFFIXES = {
    ".csproj": ".NET", ".fsproj": ".NET", ".vbproj": ".NET", ".sln": ".NET", ".slnx": ".NET", ".cabal": "Haskell",
    ".nimble": "Nim", ".gemspec": "Ruby",
}  # fmt: skip
_SUFFIXES = {
    ".go": "Go", ".rs": "Rust", ".java": "Java", ".kt": "Kotlin", ".scala": "Scala", ".php": "PHP", ".rb": "Ruby",
    ".ex": "Elixir", ".exs": "Elixir", ".erl": "Erlang", ".gleam": "Gleam", ".py": "Python", ".js": "JavaScript",
    ".mjs": "JavaScript", ".ts": "TypeScript", ".tsx": "TypeScript", ".jsx": "JavaScript", ".c": "C", ".cc": "C++",
    ".cpp": "C++", ".cxx": "C++", ".cs": "C#", ".fs": "F#", ".vb": "Visual Basic", ".swift": "Swift",
    ".dart": "Dart", ".clj": "Clojure", ".hs": "Haskell", ".ml": "OCaml", ".cr": "Crystal", ".zig": "Zig",
    ".pl": "Perl", ".r": "R", ".jl": "Julia", ".nim": "Nim", ".lua": "Lua", ".ipynb": "Jupyter notebooks",
}  # fmt: skip
_ALSO_PROJECTS = frozenset((
    "dockerfile", "index.html", "index.php", "start.sh", "config.ru", "hugo.toml", "hugo.yaml", "mkdocs.yml",
    "_config.yml",
))  # fmt: skip
_OF_APPS = frozenset(("package.json", "requirements.txt", "pyproject.toml", "Pipfile", "setup.py"))
# Folders of templates: an index.html there is a part of pages.
_TEMPLATES = frozenset(("templates", "views", "layouts", "_layouts", "_includes", "partials"))
# Files that are read by their exact names, by the lower-case names that people use. Buildpacks have a project.toml.
_EXACT_NAMES = (*MANIFESTS, "Procfile", "stackyn.toml", "index.html", "index.php", "start.sh", "config.ru")
_OTHER_NAMES = {
    **{name.lower(): name for name in _EXACT_NAMES}, "project.toml": "project.toml",
    "requirement.txt": "requirements.txt", "requirments.txt": "requirements.txt", "requirements": "requirements.txt",
    "procfile.txt": "Procfile", "index.htm": "index.html",
}  # fmt: skip
_MOST_FOLDERS, _DEEPEST = 8, 3


def manifest_of_language(files: Iterable[str]) -> tuple[str, str] | None:
    """Return (manifest, language) of the first manifest among `files` of the root; None when there is none."""
    in_root = {path for path in files if "/" not in path}
    for name, language in MANIFESTS.items():
        if name in in_root:
            return name, language
    for path in sorted(in_root):
        for suffix, language in _PROJECT_SUFFIXES.items():
            if path.endswith(suffix):
                return path, language
    return None


def language_of_sources(files: Iterable[str]) -> str | None:
    """Return the language that most source files are written in."""
    counts: Counter[str] = Counter()
    for path in files:
        suffix = path[path.rfind(".") :].lower() if "." in path else ""
        if suffix in _SUFFIXES and "node_modules/" not in path and "vendor/" not in path:
            counts[_SUFFIXES[suffix]] += 1
    return min(counts, key=lambda language: (-counts[language], language)) if counts else None


def projects_below(files: Iterable[str]) -> list[str]:
    """Return the folders that look like a project of their own, those nearest to the root first."""
    folders = set()
    for path in files:
        folder, _, name = path.rpartition("/")
        is_project = _is_manifest(name) or name.lower() in _ALSO_PROJECTS
        if folder and is_project and folder.count("/") < _DEEPEST and not _is_part(folder.split("/"), name):
            folders.add(folder)
    outermost = [folder for folder in folders if folders.isdisjoint(_parents(folder))]
    return sorted(outermost, key=lambda folder: (folder.count("/"), folder))[:_MOST_FOLDERS]


def has_other_app(files: Iterable[str]) -> bool:
    """True beside Node's or Python's manifest: another language without a program is a tool there, as a Gemfile for
    fastlane or a crate for WebAssembly."""
    return not _OF_APPS.isdisjoint(files)


def misnamed(files: frozenset[str]) -> list[tuple[str, str]]:
    """Return (name, right name) of the files of the root that would be read under another name, and are not."""
    names = ((name, _OTHER_NAMES.get(name.lower(), name)) for name in sorted(files) if "/" not in name)
    return [(name, right) for name, right in names if name != right and right not in files]


def _is_part(folders: list[str], name: str) -> bool:
    is_hidden = any(folder.startswith(".") or folder == "node_modules" for folder in folders)
    is_of_hugo = name.startswith("hugo.") and "config" in folders  # config/production, say
    return is_hidden or is_of_hugo or (name == "index.html" and folders[-1] in _TEMPLATES)


def _is_manifest(name: str) -> bool:
    return name in MANIFESTS or name.endswith(tuple(_PROJECT_SUFFIXES))


def _parents(folder: str) -> list[str]:
    parts = folder.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]
