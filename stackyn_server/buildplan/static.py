"""A site of plain files."""

from __future__ import annotations

from collections.abc import Iterable

from stackyn_server.buildplan.outcome import GENERATED_DOCKERFILE, BuildPlan
from stackyn_server.buildplan.project import PlanOptions, Project, Runtime

INDEX = "index.html"
FOLDERS = ("public", "dist", "site", "_site", "build", "out", "www", "html", "docs")
# Never a page: the repository's own business. What else starts with a dot the web server does not give out.
NOT_PAGES = ("**/.git*", "**/.env*", "**/.dockerignore")


def _needs(files: frozenset[str], options: PlanOptions) -> Iterable[str]:
    return ()


def _plan(project: Project) -> BuildPlan | None:
    if project.has(INDEX):
        folder, reason = ".", f"`{INDEX}` is in the root: its files are served as they are."
    elif found := project.first(f"{folder}/{INDEX}" for folder in FOLDERS):
        folder = found.removesuffix(f"/{INDEX}")
        reason = f"`{found}` is there: the files of `{folder}` are served as they are."
    else:
        return None
    return BuildPlan(
        runtime=RUNTIME.name,
        reasons=(reason,),
        dockerfile=GENERATED_DOCKERFILE,
        generated=site_dockerfile(project, f"COPY {folder if folder == '.' else folder + '/'} /srv/site/"),
        port=project.port,
        ignore=NOT_PAGES,
        copies=() if folder == "." else (folder,),
    )


def site_dockerfile(project: Project, *files: str) -> str:
    """Return the stage that serves a site: `files` are the lines which put it into /srv/site."""
    lines = [
        "# Made by Stackyn. To change it, commit it as `Dockerfile`.",
        "# This image serves /srv/site on $PORT, as the user app.",
        f"FROM {project.options.toolchains.choose('static').image.name}",
        *files,
        f"ENV PORT={project.port}",
        f"EXPOSE {project.port}",
    ]
    return "\n".join(lines) + "\n"


RUNTIME = Runtime(
    name="static",
    looked_for=f"a static site ({INDEX} in the root or in {', '.join(FOLDERS)})",
    needs=_needs,
    plan=_plan,
)
