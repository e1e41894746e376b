"""Java and Kotlin built by Gradle: the program and the version from its scripts."""

from __future__ import annotations

import re

from stackyn_server.buildplan.project import Project, undetected
from stackyn_server.buildplan.runtimes.java.archive import GATHER, JVM, JavaBuild, port_option
from stackyn_server.buildplan.settings.start_command import configured_command
from stackyn_server.buildplan.versions.requirement import VersionRequest

GRADLE = ("build.gradle.kts", "build.gradle", "settings.gradle.kts", "settings.gradle")
_GRADLE_VERSION = re.compile(
    r"(?:JavaLanguageVersion\.of\(\s*|jvmToolchain\(\s*|JavaVersion\.VERSION_(?:1_)?|"
    r"(?:source|target)Compatibility\s*=\s*['\"]?(?:1\.)?)(\d+)"
)
_IS_TOOLCHAIN = re.compile(r"JavaLanguageVersion\.of|jvmToolchain\(")
_ANDROID = re.compile(
    r"com\.android\.(?:application|library|tools\.build)|\blibs\.plugins\.android|^[ \t]*android[ \t]*\{",
    re.MULTILINE,
)
_SERVER_PLUGINS = re.compile(
    r"org\.springframework\.boot|io\.ktor|libs\.plugins\.ktor|io\.quarkus|io\.micronaut|"
    r"^[ \t]*application[ \t]*(?:$|\{)",
    re.MULTILINE,
)


def gradle_build(project: Project, reasons: list[str]) -> JavaBuild:
    """Return how Gradle builds the project, and add why to `reasons`. Raises `DeploymentFailed` for an Android app."""
    scripts = "\n".join(
        project.text(path) or ""
        for path in sorted(project.files)
        if path.rpartition("/")[2] in GRADLE and path.count("/") <= 2
    )
    if _ANDROID.search(scripts) and not _SERVER_PLUGINS.search(scripts) and not configured_command(project):
        raise undetected(
            "This is an Android app, which runs on phones: its build makes a package for them and no server.",
            "Push a project with a server, or set the root directory to the folder of one.",
        )
    if project.has("gradlew"):
        program = "sh ./gradlew"
        reasons.append("Its wrapper, `gradlew`, brings the release of Gradle that it names.")
    else:
        program = "gradle"
        reasons.append(
            "The server's Gradle builds it. Commit the wrapper (`gradle wrapper`) to choose the release."
        )
    port = port_option(scripts)
    is_boot = "org.springframework.boot" in scripts or "io.quarkus" in scripts or "shadow" in scripts
    is_distribution = not is_boot and re.search(
        r"^[ \t]*(?:application[ \t]*(?:$|\{)|id[ \t]*\(?['\"]application['\"]|"
        r"apply plugin:[ \t]*['\"]application['\"])|io\.ktor\.plugin",
        scripts,
        re.MULTILINE,
    )
    if is_distribution:
        reasons.append("Its `application` plugin says what is run.")
        gather = (
            "RUN home=$(find . -path '*/build/install/*' -maxdepth 5 -type d -name bin -print -quit) && "
            'cp -r "$home/.." run && for script in run/bin/*; do '
            'case $script in *.bat) ;; *) ln -s "$(basename "$script")" run/bin/start-app ;; esac; done'
        )
        start = f'env JAVA_OPTS="-XX:MaxRAMPercentage=70.0 {port}$JAVA_OPTS" bin/start-app'
        return JavaBuild(f"{program} --no-daemon installDist -x test", start, gather)
    reasons.append("The archive that it makes has a main class, and is run.")
    task = "bootJar" if "org.springframework.boot" in scripts and "war" not in scripts else "assemble"
    return JavaBuild(f"{program} --no-daemon {task} -x test", f"{JVM} {port}-jar app.jar", f"RUN {GATHER}")


def gradle_version(project: Project) -> VersionRequest | None:
    """Return the version of Java that a build script names."""
    for path in sorted(project.files, key=lambda path: (path.count("/"), path)):
        if path.rpartition("/")[2] not in GRADLE or not (text := project.text(path)):
            continue
        if match := _GRADLE_VERSION.search(text):
            # A toolchain is an exact release; the other settings are the lowest one.
            exact = _IS_TOOLCHAIN.search(text)
            return VersionRequest.read(match[1] if exact else f">={match[1]}", path)
    return None
