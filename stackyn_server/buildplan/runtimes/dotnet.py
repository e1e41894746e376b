""".NET: one project is published, the one of a web server first."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import replace
from posixpath import commonpath, dirname, join, normpath

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.buildplan.formats.structured_files import json_with_comments, text_at
from stackyn_server.buildplan.generated.instructions import COPY_ALL, run
from stackyn_server.buildplan.generated.stages import is_plain, plan_of, two_stages
from stackyn_server.buildplan.project import PlanOptions, Project, Runtime, undetected
from stackyn_server.buildplan.runtimes.static.runtime import built_site_dockerfile
from stackyn_server.buildplan.settings.start_command import PROCFILE, configured_command
from stackyn_server.buildplan.versions.requirement import Dialect, VersionRequest, line_of, parse_requirement
from stackyn_server.buildplan.versions.toolchains import ImageChoice
from stackyn_server.buildplan.versions.version_files import TOOL_FILES, version_in_tool_files

GLOBAL = "global.json"
SUFFIXES = (".csproj", ".fsproj", ".vbproj")
IGNORED = ("**/bin", "**/obj")
_SOLUTIONS = (".sln", ".slnx")
_DEEPEST, _MOST_PROJECTS = 3, 100
_SDK = re.compile(r"<Project\b[^<>]{0,300}\bSdk\s*=\s*\"([\w.]+)", re.IGNORECASE)
_FRAMEWORK = re.compile(r"<TargetFrameworks?>\s*[^<]{0,100}?net(?:coreapp)?(\d+\.\d+)", re.IGNORECASE)
_ASSEMBLY = re.compile(r"<AssemblyName>\s*([^<\s]{1,200})\s*<", re.IGNORECASE)
_OUTPUT = re.compile(r"<OutputType>\s*(?:Exe|WinExe)\s*<", re.IGNORECASE)
_WINDOWS = re.compile(r"<TargetFrameworkVersion>|<TargetFrameworks?>\s*net[2-4]\d{1,2}\s*[<;]", re.IGNORECASE)
_IN_BROWSERS = ".BlazorWebAssembly"
_DEVICES = re.compile(
    r"<(?:UseWPF|UseWindowsForms|UseMaui)>\s*true|<TargetFrameworks?>[^<]{0,200}-(?:windows|android|ios|maccatalyst)",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"<ProjectReference\b[^<>]{0,200}\bInclude\s*=\s*\"([^\"]{1,300})\"", re.IGNORECASE)
_TESTS = re.compile(r"Microsoft\.NET\.Test\.Sdk|<IsTestProject>\s*true", re.IGNORECASE)


def _needs(files: frozenset[str], options: PlanOptions) -> Iterable[str]:
    projects = _projects(files)
    return (*projects, GLOBAL, "Directory.Build.props", PROCFILE, *TOOL_FILES) if projects else ()


def _projects(files: Iterable[str]) -> list[str]:
    """Return the project files, where one is in the root or a solution there says that some are below."""
    files = list(files)
    in_root = [path for path in files if "/" not in path and path.endswith(SUFFIXES)]
    has_solution = any("/" not in path and path.endswith(_SOLUTIONS) for path in files)
    if not in_root and not has_solution and GLOBAL not in files:
        return []
    paths = (path for path in files if path.endswith(SUFFIXES) and path.count("/") <= _DEEPEST)
    return sorted(paths, key=lambda path: (path.count("/"), path))[:_MOST_PROJECTS]


def _plan(project: Project) -> BuildPlan | None:
    paths = [path for path in _projects(project.files) if _can_be_named(path)]
    if not paths:
        return None
    path = _chosen_project(project, paths)
    project_file = project.text(path) or ""
    context_root, below = _with_references(project, path)
    requested = _requested_version(project, project_file)
    is_site = _sdk(project_file).endswith(_IN_BROWSERS)
    choice = _with_sdk(project, project.options.toolchains.choose("dotnet", requested))
    outcome = "its pages are served as files" if is_site else "run"
    reasons = [f"`{path}` makes it a .NET project; it is published and {outcome}.", choice.reason]
    if below:
        sent_folder = context_root or "the whole repository"
        reasons.append(f"It refers to projects beside its folder, so {sent_folder} is sent to the build.")
    folder = "out"
    if configured := configured_command(project):
        command = configured[0]
        reasons.append(configured[1])
    else:
        command = f"dotnet {shlex.quote(f'{folder}/{_assembly(path, project_file)}.dll')}"
    # Published from `/`, where the SDK ignores global.json: that asks for the patch that was current when it was
    # written, and the image has the newest.
    publish = project.options.build_command or (
        f"cd / && dotnet publish {shlex.quote(f'/app/{below}{path}')} --configuration Release --output /app/{folder}"
    )
    steps = [
        "ENV DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 NUGET_PACKAGES=/cache/nuget",
        COPY_ALL,
        *([run(project.options.install_command, "dotnet")] if project.options.install_command else []),
        run(publish, "dotnet"),
    ]
    if is_site:
        text = built_site_dockerfile(project, choice, steps, f"{folder}/wwwroot", single_page=True)
    else:
        # A published web app finds its settings and pages only below its content root.
        stage = "DOTNET_ENVIRONMENT=Production ASPNETCORE_ENVIRONMENT=Production"
        settings = f"ASPNETCORE_CONTENTROOT=/app/{folder} {stage}"
        command = f"export ASPNETCORE_URLS=http://0.0.0.0:$PORT; {command}"
        text = two_stages(project, choice, steps, command, environment=(settings,))
    plan = plan_of(project, RUNTIME.name, reasons, text, ignore=IGNORED)
    return replace(plan, root=context_root) if below else plan


def _with_references(project: Project, path: str) -> tuple[str, str]:
    """Return (folder, path below it): the folder, from the top, that has a project and all projects that it references,
    and the path from there to the root directory, with a slash at its end; empty if the root directory is that folder.
    """
    root = project.options.root_directory or ""
    if not root or not is_plain(root):
        return root, ""
    above, seen, waiting = root, {f"{root}/{path}"}, [f"{root}/{path}"]
    while waiting and len(seen) <= _MOST_PROJECTS:
        current = waiting.pop()
        for reference in _REFERENCE.findall(project.text_from_top(current) or ""):
            referred = normpath(join(dirname(current), reference.replace("\\", "/")))
            if referred in project.everything and referred not in seen:
                seen.add(referred)
                waiting.append(referred)
                above = commonpath([above, dirname(referred) or "."]) if dirname(referred) else ""
    return above, f"{root}/".removeprefix(f"{above}/" if above else "") if above != root else ""


def _with_sdk(project: Project, choice: ImageChoice) -> ImageChoice:
    """Build with the SDK of global.json if it is newer: it builds for older frameworks, and the app runs on its own.

    Raises `DeploymentFailed` with VERSION_UNAVAILABLE for an SDK that is not available.
    """
    global_settings = json_with_comments(project, GLOBAL)
    version = ".".join((text_at(global_settings, "sdk", "version") or "").split(".")[:2])
    rolls = (text_at(global_settings, "sdk", "rollForward") or "").lower()
    requirement = (
        parse_requirement(f">={version}" if rolls.endswith("major") else version) if version else None
    )
    built = choice.build_image or choice.image
    sdk, framework = line_of(version), line_of(built.version)
    if requirement is None or sdk is None or framework is None or sdk.low <= framework.low:
        return choice
    newer = project.options.toolchains.choose("dotnet", VersionRequest(requirement, f"`{GLOBAL}`"))
    return replace(
        choice, build_image=newer.build_image or newer.image, reason=f"{choice.reason} {newer.reason}"
    )


def _chosen_project(project: Project, paths: list[str]) -> str:
    programs = {path: text for path in paths if not _TESTS.search(text := project.text(path) or "")}
    if any_device := next((path for path, text in programs.items() if _DEVICES.search(text)), None):
        programs = {path: text for path, text in programs.items() if not _DEVICES.search(text)}
    web = [path for path, text in programs.items() if _sdk(text).endswith((".Web", _IN_BROWSERS))]
    if len(web) > 1:  # the server serves the pages of the other
        web = [path for path in web if not _sdk(programs[path]).endswith(_IN_BROWSERS)] or web
    console_programs = [
        path for path, text in programs.items() if _OUTPUT.search(text) or _sdk(text).endswith(".Worker")
    ]
    for candidates in (web, console_programs):
        in_root = [path for path in candidates if "/" not in path]
        if len(in_root or candidates) == 1:
            return (in_root or candidates)[0]
        if candidates:
            raise undetected(
                f"This .NET solution has {len(candidates)} programs, and nothing says which one serves.",
                f"Set the root directory to the folder of one of them: {', '.join(candidates[:10])}.",
            )
    if any_device:
        raise undetected(
            f"This .NET project ({any_device}) is an app for desktops or phones, which no server runs.",
            "Push a project with a server, or set the root directory to the folder of one.",
        )
    if any(_WINDOWS.search(project.text(path) or "") for path in paths):
        raise undetected(
            f"This is a project of the .NET Framework ({paths[0]}), which runs on Windows only.",
            "Move it to .NET 8 or newer, then push again.",
        )
    raise undetected(
        f"This is a .NET project ({paths[0]}), but it has no program, only a library.",
        "Set the root directory to the folder of the program, or add `<OutputType>Exe</OutputType>`.",
    )


def _can_be_named(path: str) -> bool:
    """True for a path that a command can name. Spaces are allowed: Visual Studio's projects often have them."""
    return is_plain(path.replace(" ", "_"))


def _sdk(text: str) -> str:
    match = _SDK.search(text)
    return match[1] if match else ""


def _assembly(path: str, text: str) -> str:
    match = _ASSEMBLY.search(text)
    if match and _can_be_named(match[1]):
        return match[1]
    return path.rpartition("/")[2].rpartition(".")[0]


def _requested_version(project: Project, text: str) -> VersionRequest | None:
    """Return the version of the framework, else of the SDK in global.json: a newer SDK builds for older frameworks, but
    the app needs its own framework to run."""
    framework = _FRAMEWORK.search(text) or _FRAMEWORK.search(project.text("Directory.Build.props") or "")
    if framework:
        return VersionRequest.read(framework[1], "TargetFramework")
    if sdk := text_at(json_with_comments(project, GLOBAL), "sdk", "version"):
        return VersionRequest.read(".".join(sdk.split(".")[:2]), GLOBAL)
    return version_in_tool_files(project.text, "dotnet", Dialect.NPM)


RUNTIME = Runtime(name="dotnet", looked_for=".NET (*.csproj, *.fsproj, *.sln)", needs=_needs, plan=_plan)
