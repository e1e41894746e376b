"""Generators of sites that need no server: Hugo, Jekyll, mkdocs and Zola build pages, which are served as files."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.buildplan.formats.structured_files import table, texts, toml
from stackyn_server.buildplan.generated.instructions import COPY_ALL, run
from stackyn_server.buildplan.generated.stages import plan_of
from stackyn_server.buildplan.languages import manifest_of_language
from stackyn_server.buildplan.project import PlanOptions, Project, Runtime
from stackyn_server.buildplan.runtimes.node.manifest import MANIFEST as NODE_MANIFEST
from stackyn_server.buildplan.runtimes.python.entry import candidate_files, find_entries
from stackyn_server.buildplan.runtimes.static.runtime import built_site_dockerfile
from stackyn_server.buildplan.settings.start_command import configured_command
from stackyn_server.buildplan.versions.requirement import Dialect, VersionRequest
from stackyn_server.buildplan.versions.version_files import TOOL_FILES, version_in_file, version_in_tool_files

HUGO_FILES = tuple(
    f"{name}.{suffix}"
    for name in ("hugo", "config/_default/hugo", "config/_default/config")
    for suffix in ("toml", "yaml", "yml", "json")
)
CONFIG = "config.toml"
HUGO_OLD_FILES = (CONFIG, "config.yaml", "config.yml", "config.json")
JEKYLL_FILES = ("_config.yml", "_config.yaml")
MKDOCS_FILES = ("mkdocs.yml", "mkdocs.yaml")
REQUIREMENTS = ("requirements.txt", "docs/requirements.txt", "requirements-docs.txt", "requirements/docs.txt")
GEMFILE, PYPROJECT = "Gemfile", "pyproject.toml"
_DOCUMENTATION = ("docs", "doc", "documentation")
_SETTING = r"^[ \t]*{name}[ \t]*[:=][ \t]*['\"]?([\w./-]+)['\"]?[ \t]*(?:#.*)?$"


@dataclass(frozen=True, slots=True)
class Generator:
    """`find` returns the file, one of `files`, that makes a project this generator's; any of them is enough if the
    owner names the generator. `setting` in that file names the folder of the pages, else it is `default`."""

    name: str
    title: str
    files: tuple[str, ...]
    find: Callable[[Project], str | None]
    tool: str
    build: Callable[[Project], list[str]]
    setting: str
    default: str
    ignored: tuple[str, ...]


def _hugo(project: Project) -> str | None:
    if config := project.first(HUGO_FILES):
        return config
    old = project.first(HUGO_OLD_FILES)
    is_hugo = (
        not project.folders.isdisjoint(("archetypes", "layouts", "themes"))
        or "baseurl" in (project.text(old or "") or "").lower()
    )
    return old if old and is_hugo and "content" in project.folders and _zola(project) is None else None


def _zola(project: Project) -> str | None:
    return CONFIG if re.search(r"^[ \t]*base_url[ \t]*=", project.text(CONFIG) or "", re.MULTILINE) else None


def _jekyll(project: Project) -> str | None:
    config = project.first(JEKYLL_FILES)
    if config is None:
        return None
    uses = re.search(r"['\"](?:jekyll|github-pages)['\"]", project.text(GEMFILE) or "")
    has_pages = not project.folders.isdisjoint(("_posts", "_layouts", "_includes", "_pages"))
    if not project.has(GEMFILE) and project.first(("index.md", "index.html", "index.markdown")):
        has_pages = True
    return config if uses or has_pages else None


def _mkdocs(project: Project) -> str | None:
    """Return the configuration, unless it is the documentation of a program in the repository, as many have."""
    config = project.first(MKDOCS_FILES)
    if config is None or ("docs" not in project.folders and "docs_dir" not in (project.text(config) or "")):
        return None
    manifest = manifest_of_language(project.files)
    is_beside_a_program = manifest is not None and manifest[1] != "Python"
    return None if is_beside_a_program or find_entries(project) else config


def _build_hugo(project: Project) -> list[str]:
    packages = [run("npm install --no-audit --no-fund")] if project.has(NODE_MANIFEST) else []
    return [COPY_ALL, *packages, run("hugo --minify --gc", "hugo")]


def _build_zola(project: Project) -> list[str]:
    return [COPY_ALL, run("zola build")]


def _build_jekyll(project: Project) -> list[str]:
    if not project.has(GEMFILE):
        return [COPY_ALL, run("JEKYLL_ENV=production jekyll build")]
    return [
        "ENV GEM_HOME=/home/app/gems PATH=/home/app/gems/bin:$PATH JEKYLL_ENV=production",
        COPY_ALL,
        run("bundle install --jobs 4 --retry 2"),
        run("bundle exec jekyll build"),
    ]


def _build_mkdocs(project: Project) -> list[str]:
    requirements = project.first(REQUIREMENTS)
    requirement_arguments = [
        *([f"-r {requirements}"] if requirements else []),
        *_own_package(project),
        *_mkdocs_packages(project),
    ]
    packages = " ".join(requirement_arguments)
    return [
        COPY_ALL,
        run("python3 -m venv /home/app/venv"),
        run(f"/home/app/venv/bin/pip install --no-cache-dir {packages}"),
        run("PATH=/home/app/venv/bin:$PATH mkdocs build"),
    ]


def _own_package(project: Project) -> list[str]:
    """Return pip arguments for the documented package, which the pages may import, and its documentation packages."""
    manifest = toml(project, PYPROJECT)
    extras = table(manifest, "project", "optional-dependencies")
    groups = table(manifest, "dependency-groups")
    requirement_arguments = []
    if "build-system" in manifest or project.has("setup.py"):
        extra = next((name for name in _DOCUMENTATION if name in extras), "")
        requirement_arguments.append(f"'.[{extra}]'" if extra else ".")
    for name in _DOCUMENTATION:
        requirement_arguments += map(shlex.quote, texts(groups.get(name)))
    return requirement_arguments


def _mkdocs_packages(project: Project) -> list[str]:
    """Return the packages that the configuration needs: for its theme and for the best known plugins."""
    text = project.text(project.first(MKDOCS_FILES) or "") or ""
    material = re.search(r"\bname:[ \t]*['\"]?material\b|^theme:[ \t]*['\"]?material\b", text, re.MULTILINE)
    plugin_packages = {
        "mkdocstrings": "mkdocstrings[python]", "awesome-pages": "mkdocs-awesome-pages-plugin",
        "git-revision-date-localized": "mkdocs-git-revision-date-localized-plugin", "macros": "mkdocs-macros-plugin",
        "minify": "mkdocs-minify-plugin", "redirects": "mkdocs-redirects", "literate-nav": "mkdocs-literate-nav",
        "section-index": "mkdocs-section-index", "gen-files": "mkdocs-gen-files", "autorefs": "mkdocs-autorefs",
        "click": "mkdocs-click", "swagger-ui-tag": "mkdocs-swagger-ui-tag", "glightbox": "mkdocs-glightbox",
    }  # fmt: skip
    plugins = [
        package
        for name, package in plugin_packages.items()
        if re.search(rf"^[ \t]*-[ \t]*{name}\b", text, re.MULTILINE)
    ]
    packages = ["mkdocs-material" if material else "mkdocs", *plugins]
    return [f"'{package}'" if "[" in package else package for package in packages]


GENERATORS = (
    Generator("zola", "Zola", (CONFIG,), _zola, "zola", _build_zola, "output_dir", "public", ("public",)),
    Generator("hugo", "Hugo", (*HUGO_FILES, *HUGO_OLD_FILES), _hugo, "hugo", _build_hugo, "publishdir", "public",
              ("public", "resources", "node_modules")),
    Generator("jekyll", "Jekyll", JEKYLL_FILES, _jekyll, "jekyll", _build_jekyll, "destination", "_site",
              ("_site", ".jekyll-cache", "vendor")),
    Generator("mkdocs", "MkDocs", MKDOCS_FILES, _mkdocs, "python", _build_mkdocs, "site_dir", "site",
              ("site", ".venv", "venv")),
)  # fmt: skip


def _runtime(generator: Generator) -> Runtime:
    def needs(files: frozenset[str], options: PlanOptions) -> Iterable[str]:
        if files.isdisjoint(generator.files):
            return ()
        # A program beside the documentation is served instead.
        programs = candidate_files(files) if generator.files == MKDOCS_FILES else ()
        return (*generator.files, CONFIG, GEMFILE, PYPROJECT, ".hugo-version", *TOOL_FILES, *programs)

    def plan(project: Project) -> BuildPlan | None:
        if configured_command(project):
            return None
        is_named = project.is_set_to(generator.name)
        config = project.first(generator.files) if is_named else generator.find(project)
        return _plan_with(project, generator, config) if config else None

    return Runtime(generator.name, f"{generator.title} ({generator.files[0]})", needs, plan)


def _plan_with(project: Project, generator: Generator, config: str) -> BuildPlan:
    choice = project.options.toolchains.choose(generator.tool, _requested_version(project, generator.tool))
    folder = project.options.publish_directory or _folder(project, generator, config)
    steps = generator.build(project)
    if command := project.options.build_command:
        steps = [*steps[:-1], run(command)]
    reasons = (
        f"`{config}` makes it a site of {generator.title}, which builds it.",
        choice.reason,
        f"The pages that it leaves in {folder} are served as files.",
    )
    text = built_site_dockerfile(project, choice, steps, folder)
    return plan_of(project, generator.name, reasons, text, ignore=generator.ignored)


def _folder(project: Project, generator: Generator, config: str) -> str:
    pattern = re.compile(_SETTING.format(name=generator.setting), re.MULTILINE | re.IGNORECASE)
    match = pattern.search(project.text(config) or "")
    folder = match[1].removeprefix("./").strip("/") if match else generator.default
    return folder if folder and ".." not in folder else generator.default


def _requested_version(project: Project, tool: str) -> VersionRequest | None:
    if tool == "hugo" and (
        requested := version_in_file(project.text(".hugo-version"), ".hugo-version", Dialect.NPM)
    ):
        return requested
    return version_in_tool_files(project.text, tool, Dialect.NPM) if tool in ("hugo", "zola") else None


RUNTIMES = tuple(map(_runtime, GENERATORS))
