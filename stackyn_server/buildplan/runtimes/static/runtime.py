"""A site of plain files."""

from __future__ import annotations

import re
from collections.abc import Iterable

from stackyn_server.buildplan.build_plan import GENERATED_DOCKERFILE, BuildPlan
from stackyn_server.buildplan.formats.structured_files import Table, json_with_comments, toml
from stackyn_server.buildplan.generated.instructions import BUILD_STAGE, HEADER, dockerfile_text
from stackyn_server.buildplan.languages import manifest_of_language
from stackyn_server.buildplan.project import PlanOptions, Project, Runtime, undetected
from stackyn_server.buildplan.runtimes.node.elsewhere import (
    WRANGLER_FILES,
    assets_of_worker,
    is_single_page_of_worker,
)
from stackyn_server.buildplan.settings.start_command import configured_command
from stackyn_server.buildplan.versions.toolchains import ImageChoice

INDEX = "index.html"
FOLDERS = ("public", "dist", "site", "_site", "build", "out", "www", "html", "docs")
# Railpack's and Cloud Foundry's file of a static site: `root: folder`, `index_fallback: true`, `pushstate: enabled`.
STATICFILE = "Staticfile"
NETLIFY, VERCEL = "netlify.toml", "vercel.json"
# Never a page: files of the repository itself. The web server refuses all other names that start with a dot.
NOT_PAGES = (
    "**/.git*", "**/.env*", "**/.dockerignore", STATICFILE, NETLIFY, VERCEL, *WRANGLER_FILES, "stackyn.toml",
    "Procfile",
)  # fmt: skip
# Languages that no browser runs; a page names the sources that a script makes the browser run.
_SOURCES = (
    ".py", ".rb", ".php", ".go", ".rs", ".java", ".kt", ".cs", ".ex", ".exs", ".pl", ".sh", ".ps1", ".bat", ".sql",
)  # fmt: skip
# Folders where other hosts run small programs beside a site.
_FUNCTIONS = ("api/", "cgi-bin/", "functions/", "netlify/")
_MODULE = re.compile(r"<script\b[^<>]{0,300}\bsrc=['\"]([^'\"]{1,200}\.(?:tsx?|mts|jsx|vue|svelte))['\"]")
_LONGEST_PAGE = 256_000
_ODD = re.compile(r"[^\w./-]")
# As Vercel writes it: `/(.*)`, `/((?!api/).*)`, `/:path*`.
_EVERY_PATH = re.compile(r"/\(.{0,200}|/:\w{1,50}\*")
_FALLBACK = re.compile(r"^[ \t]*(?:index_fallback|pushstate)[ \t]*:[ \t]*(\w+)", re.MULTILINE)
_ROOT = re.compile(r"^[ \t]*root[ \t]*:[ \t]*['\"]?(?:\./)?([\w./-]+?)/?['\"]?[ \t]*$", re.MULTILINE)


def _needs(files: frozenset[str], options: PlanOptions) -> Iterable[str]:
    return (INDEX, STATICFILE, NETLIFY, VERCEL, *WRANGLER_FILES)


def _plan(project: Project) -> BuildPlan | None:
    folder = _folder(project)
    if folder is None:
        return None
    shown = f"{folder}/{INDEX}".removeprefix("./")
    manifest_and_language = manifest_of_language(project.files)
    # Only that folder is copied: files beside it are not public.
    is_folder_set = folder != "." and (
        project.is_set_to(RUNTIME.name) or project.options.is_set_by_owner("publish_directory")
    )
    if manifest_and_language and manifest_and_language[1] != "Node" and not is_folder_set:
        manifest, language = manifest_and_language
        raise undetected(
            f"`{manifest}` makes this a project in {language}, whose sources would be public if `{shown}` was served.",
            f"Add a Dockerfile that builds it. If only pages are to be served, remove `{manifest}`, or set the root "
            "directory to a folder that holds nothing else.",
        )
    if unbuilt := _unbuilt(project.text(shown.removeprefix("./")) or ""):
        raise undetected(
            f"`{shown}` loads `{unbuilt}`, which no browser reads before it is built.",
            "Add the `build` script of its tool (such as `vite build`) to package.json, or set the build command and "
            "the publish directory.",
        )
    configured = configured_command(project)
    unused = (f"{configured[1]} It is not run: files need none.",) if configured else ()
    where = "the root" if folder == "." else f"the folder {folder}"
    sources = _sources(project) if folder == "." else []
    left_out = (f"No pages, and not served: {', '.join(sources[:10])}.",) if sources else ()
    return BuildPlan(
        runtime=RUNTIME.name,
        reasons=(f"`{shown}` is there: the files of {where} are served as they are.", *left_out, *unused),
        dockerfile=GENERATED_DOCKERFILE,
        base_images=(project.options.toolchains.choose("static").image.name,),
        generated=site_dockerfile(project, f"COPY {folder if folder == '.' else folder + '/'} /srv/site/"),
        port=project.port,
        ignore=(*NOT_PAGES, *(_ODD.sub("?", path) for path in sources)),
        copies=(INDEX,) if folder == "." else (folder,),
    )


def _sources(project: Project) -> list[str]:
    """Return the scripts beside the home page that no browser runs and that the page does not name."""
    page = project.text(INDEX) or ""
    scripts = (
        path
        for path in project.files
        if path.endswith(_SOURCES) and ("/" not in path or path.startswith(_FUNCTIONS))
    )
    return sorted(path for path in scripts if path not in page)


def _folder(project: Project) -> str | None:
    """Return the folder to serve: the owner's, else the one with a home page; the root is a dot."""
    publish_directory = project.options.publish_directory
    if publish_directory is None and (match := _ROOT.search(project.text(STATICFILE) or "")):
        publish_directory = match[1]
    if publish_directory is None and (assets := assets_of_worker(project)) and _is_there(project, assets):
        return assets
    if publish_directory is not None:
        folder = publish_directory.strip("/") or "."
        if _is_there(project, folder):
            return folder
        # Of another host's setting, which leaves the Staticfile unread, that host's build would make the folder.
        options = project.options
        if options.publish_directory is None or options.is_set_by_owner("publish_directory"):
            raise undetected(
                f"The folder {folder} that is to be served is not in the repository.",
                "Correct the publish directory, or set the build command that makes it.",
            )
    if project.has(INDEX):
        return "."
    found_below = project.first(f"{folder}/{INDEX}" for folder in FOLDERS)
    return found_below.removesuffix(f"/{INDEX}") if found_below else None


def _unbuilt(page: str) -> str | None:
    """Return the page's script that a tool has to build first; None if the page builds it in the browser."""
    match = _MODULE.search(page[:_LONGEST_PAGE])
    return None if match is None or "babel" in page.lower() else match[1]


def _is_there(project: Project, folder: str) -> bool:
    return folder == "." or any(path.startswith(f"{folder}/") for path in project.files)


def is_single_page(project: Project, tool_default: bool = False) -> bool:
    """Return whether unknown paths show the home page: by the owner's settings, else by the site tool's default.

    The web server itself looks for a 404.html, which prevents this too, because a build may make that file.
    """
    if match := _FALLBACK.search(project.text(STATICFILE) or ""):
        return match[1].lower() in ("true", "enabled", "yes", "on")
    return tool_default or _rewrites_all(project)


def _rewrites_all(project: Project) -> bool:
    """True where Netlify's, Cloudflare's or Vercel's settings show the home page for every path."""
    for rule in _rules(toml(project, NETLIFY).get("redirects")):
        if rule.get("from") == "/*" and str(rule.get("to")).endswith(INDEX):
            return rule.get("status") == 200
    if is_single_page_of_worker(project):
        return True
    vercel = json_with_comments(project, VERCEL)
    rules = [rule for key in ("rewrites", "routes") for rule in _rules(vercel.get(key))]
    return any(
        _EVERY_PATH.fullmatch(str(rule.get("source") or rule.get("src")))
        and str(rule.get("destination") or rule.get("dest")) in ("/", INDEX, f"/{INDEX}")
        for rule in rules
    )


def _rules(value: object) -> list[Table]:
    return [rule for rule in value if isinstance(rule, dict)] if isinstance(value, list) else []


def site_dockerfile(project: Project, *files: str, single_page: bool = False) -> str:
    """Return the stage that serves a site: `files` are the lines that copy the site to /srv/site.

    `single_page` is the site tool's default; the owner's settings win.
    """
    fallback = ["ENV SINGLE_PAGE=1"] if is_single_page(project, single_page) else []
    lines = [
        HEADER,
        "# This image serves /srv/site on $PORT, as the user app.",
        f"FROM {project.options.toolchains.choose('static').image.name}",
        *files,
        *fallback,
        f"ENV PORT={project.port}",
        f"EXPOSE {project.port}",
    ]
    return dockerfile_text(lines)


def built_site_dockerfile(
    project: Project, choice: ImageChoice, steps: Iterable[str], folder: str, *, single_page: bool = False
) -> str:
    """Return the Dockerfile of a site that `steps` build, as the user app in /app, into a folder there."""
    image = (choice.build_image or choice.image).name
    lines = (HEADER, f"FROM {image} AS {BUILD_STAGE}", "WORKDIR /app", "USER app", *steps, "")
    pages = f"COPY --from={BUILD_STAGE} /app/{folder}/ /srv/site/"
    site = site_dockerfile(project, pages, single_page=single_page)
    return dockerfile_text(lines) + site.removeprefix(f"{HEADER}\n")


RUNTIME = Runtime(
    name="static",
    looked_for=f"a static site ({INDEX} in the root or in {', '.join(FOLDERS)})",
    needs=_needs,
    plan=_plan,
)
