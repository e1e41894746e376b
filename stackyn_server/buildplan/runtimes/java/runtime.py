"""Java and Kotlin: built by Maven or Gradle, through the project's wrapper where it has one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.buildplan.generated.instructions import COPY_ALL, run
from stackyn_server.buildplan.generated.stages import COPY_APP, plan_of, two_stages
from stackyn_server.buildplan.project import PlanOptions, Project, Runtime
from stackyn_server.buildplan.runtimes.java.gradle import GRADLE, gradle_build, gradle_version
from stackyn_server.buildplan.runtimes.java.maven import POM, maven_build, pom_version, source_files
from stackyn_server.buildplan.settings.start_command import PROCFILE, configured_command
from stackyn_server.buildplan.versions.requirement import Dialect, VersionRequest, parse_requirement
from stackyn_server.buildplan.versions.version_files import TOOL_FILES, version_in_file, version_in_tool_files

VERSION_FILE, SDKMAN, SYSTEM_PROPERTIES = ".java-version", ".sdkmanrc", "system.properties"
_SETTINGS = (
    VERSION_FILE, SDKMAN, SYSTEM_PROPERTIES, "gradle/wrapper/gradle-wrapper.properties", "gradle.properties",
)  # fmt: skip
_HEROKU_VERSION = re.compile(r"^java\.runtime\.version\s*=\s*(?:\w+-)?(\d[\d.]*)", re.MULTILINE)
_MOST_SCRIPTS = 300
_COPY_RUN = "COPY --from=build --chown=app:app /app/run/ /app/"


def _needs(files: frozenset[str], options: PlanOptions) -> Iterable[str]:
    if POM not in files and not files.intersection(GRADLE):
        return ()
    builds = (path for path in files if path.count("/") <= 2 and path.rpartition("/")[2] in (POM, *GRADLE))
    return (*_SETTINGS, PROCFILE, *TOOL_FILES, *sorted(builds)[:_MOST_SCRIPTS], *source_files(files))


def _plan(project: Project) -> BuildPlan | None:
    script = project.first((POM, *GRADLE))
    if script is None:
        return None
    is_maven = script == POM
    language = "Kotlin" if any(path.endswith(".kt") for path in project.files) else "Java"
    reasons = [f"`{script}` makes it a {language} project that {'Maven' if is_maven else 'Gradle'} builds."]
    choice = project.options.toolchains.choose("java", _requested_version(project, is_maven))
    reasons.append(choice.reason)
    build = maven_build(project, reasons) if is_maven else gradle_build(project, reasons)
    command, outcome, copy = build.start, [build.outcome], _COPY_RUN
    if configured := configured_command(project):
        # The owner's command names files where the build leaves them.
        command, outcome, copy = configured[0], [], COPY_APP
        reasons.append(configured[1])
    steps = [
        "ENV MAVEN_USER_HOME=/cache/maven-wrapper GRADLE_USER_HOME=/cache/gradle",
        COPY_ALL,
        *([run(project.options.install_command, "java")] if project.options.install_command else []),
        run(project.options.build_command or build.command, "java"),
        *outcome,
    ]
    text = two_stages(project, choice, steps, command, copies=(copy,))
    return plan_of(project, RUNTIME.name, reasons, text, ignore=("target", "build", ".gradle"))


def _requested_version(project: Project, is_maven: bool) -> VersionRequest | None:
    """Return the version that a file pins, else the one that the build compiles for, which newer ones can run too."""
    if pinned := version_in_tool_files(project.text, "java", Dialect.NPM) or version_in_file(
        project.text(VERSION_FILE), VERSION_FILE, Dialect.NPM
    ):
        return _major(pinned)
    if sdkman := re.search(r"^java=(\S+)", project.text(SDKMAN) or "", re.MULTILINE):
        return _major(VersionRequest.read(sdkman[1].partition("-")[0], SDKMAN))
    if heroku := _HEROKU_VERSION.search(project.text(SYSTEM_PROPERTIES) or ""):
        return VersionRequest.read(heroku[1].removeprefix("1.").split(".")[0], SYSTEM_PROPERTIES)
    return pom_version(project) if is_maven else gradle_version(project)


def _major(requested: VersionRequest | None) -> VersionRequest | None:
    """Return the request for the major version only: a project does not depend on a JDK's update."""
    match = re.search(r"(?:^|-)(?:1\.)?(\d+)", requested.requirement.text) if requested else None
    requirement = parse_requirement(match[1]) if match else None
    return replace(requested, requirement=requirement) if requested and requirement else None


RUNTIME = Runtime(
    name="java",
    looked_for=f"Java and Kotlin ({POM}, build.gradle, build.gradle.kts)",
    needs=_needs,
    plan=_plan,
)
