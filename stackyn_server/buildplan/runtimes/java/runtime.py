"""Java and Kotlin: built by Maven or Gradle, through the project's wrapper where it has one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.buildplan.generated.instructions import COPY_ALL, run
from stackyn_server.buildplan.generated.stages import COPY_APP, is_plain, plan_of, two_stages
from stackyn_server.buildplan.project import PlanOptions, Project, Runtime, undetected
from stackyn_server.buildplan.settings.start_command import PROCFILE, configured_command
from stackyn_server.buildplan.versions.requirement import Dialect, VersionRequest, parse_requirement
from stackyn_server.buildplan.versions.version_files import TOOL_FILES, version_in_file, version_in_tool_files

POM = "pom.xml"
GRADLE = ("build.gradle.kts", "build.gradle", "settings.gradle.kts", "settings.gradle")
VERSION_FILE, SDKMAN, SYSTEM_PROPERTIES = ".java-version", ".sdkmanrc", "system.properties"
WRAPPER_SETTINGS = "gradle/wrapper/gradle-wrapper.properties"
_MOST_FILES = 300
_DEEPEST = 12
_SOURCES = re.compile(r"(?:([^/]+(?:/[^/]+)*)/)?src/main/(?:java|kotlin)/((?:[^/]+/)*)([^/]+)\.(java|kt)")
_MAIN = re.compile(r"\bstatic\s+(?:final\s+)?void\s+main\s*\(|^[ \t]*void\s+main\s*\(", re.MULTILINE)
_KOTLIN_MAIN = re.compile(r"^(?:suspend\s+)?fun\s+main\s*\(", re.MULTILINE)
_PACKAGE = re.compile(r"^[ \t]*package[ \t]+([\w.]+)", re.MULTILINE)
_MAIN_CLASS = re.compile(
    r"<(?:mainClass|exec\.mainClass|start-class|main\.class|main-class)>\s*([\w.$]+)\s*<"
)
# Plugins of Maven that make an archive which `java -jar` runs by itself.
_PACKERS = re.compile(
    r"<artifactId>\s*(?:spring-boot-maven-plugin|maven-shade-plugin|maven-assembly-plugin|quarkus-maven-plugin|"
    r"micronaut-maven-plugin|helidon-maven-plugin|spring-boot-starter-parent)\s*<"
)
# What Maven itself calls the language's release, in the order in which one wins over the next.
_POM_VERSIONS = (
    "maven.compiler.release", "java.version", "maven.compiler.target", "maven.compiler.source", "jdk.version",
    "release", "jvmToolchain",
)  # fmt: skip
_GRADLE_VERSION = re.compile(
    r"(?:JavaLanguageVersion\.of\(\s*|jvmToolchain\(\s*|JavaVersion\.VERSION_(?:1_)?|"
    r"(?:source|target)Compatibility\s*=\s*['\"]?(?:1\.)?)(\d+)"
)
_ANDROID = re.compile(
    r"com\.android\.(?:application|library|tools\.build)|\blibs\.plugins\.android|^[ \t]*android[ \t]*\{",
    re.MULTILINE,
)
_SERVER_PLUGINS = re.compile(
    r"org\.springframework\.boot|io\.ktor|libs\.plugins\.ktor|io\.quarkus|io\.micronaut|"
    r"^[ \t]*application[ \t]*(?:$|\{)",
    re.MULTILINE,
)
_IS_TOOLCHAIN = re.compile(r"JavaLanguageVersion\.of|jvmToolchain\(")
_JVM = "java -XX:MaxRAMPercentage=70.0 $JAVA_OPTS"
# The port as each framework takes it from the command line; the others find it in PORT.
_PORTS = {
    "org.springframework.boot": "-Dserver.port=$PORT",
    "spring-boot": "-Dserver.port=$PORT",
    "quarkus": "-Dquarkus.http.host=0.0.0.0 -Dquarkus.http.port=$PORT",
    "micronaut": "-Dmicronaut.server.port=$PORT",
    "helidon": "-Dserver.port=$PORT -Dserver.host=0.0.0.0",
}
# Puts what runs into /app/run: the folder that Quarkus makes, else of the archives with a main class the outermost.
_GATHER = " && ".join(
    (
        "mkdir run",
        "quarkus=$(find . -type d -name quarkus-app -print -quit)",
        'if [ -n "$quarkus" ]; then cp -r "$quarkus"/. run/; mv run/quarkus-run.jar run/app.jar; fi',
        r"archives=$(find . \( -path '*/target/*' -o -path '*/build/libs/*' \) \( -name '*.jar' -o -name '*.war' \) "
        r"! -name '*-plain.*' ! -name 'original-*' | awk '{ print length, $0 }' | sort -n | cut -d ' ' -f 2-)",
        "for archive in $archives; do [ ! -f run/app.jar ] || break; "
        "if unzip -p $archive META-INF/MANIFEST.MF 2>/dev/null | grep -q ^Main-Class:; "
        "then cp $archive run/app.jar; fi; done",
        "{ [ -f run/app.jar ] || { echo 'The build made no archive with a main class (Main-Class in its manifest).' "
        ">&2; exit 1; }; }",
    )
)


@dataclass(frozen=True, slots=True)
class JavaBuild:
    """`command` builds; `outcome` are the instructions that put what runs into place; `start` runs it."""

    command: str
    start: str
    outcome: tuple[str, ...] = ()
    copy: str = "COPY --from=build --chown=app:app /app/run/ /app/"


def _needs(files: frozenset[str], options: PlanOptions) -> Iterable[str]:
    if POM not in files and not files.intersection(GRADLE):
        return ()
    builds = (path for path in files if path.count("/") <= 2 and path.rpartition("/")[2] in (POM, *GRADLE))
    fixed = (
        VERSION_FILE,
        SDKMAN,
        SYSTEM_PROPERTIES,
        WRAPPER_SETTINGS,
        "gradle.properties",
        PROCFILE,
        *TOOL_FILES,
    )
    return (*fixed, *sorted(builds)[:_MOST_FILES], *_sources(files))


def _sources(files: Iterable[str]) -> list[str]:
    """Return the files that may hold the main class, the likely ones first: near the top, named like one."""
    paths = (path for path in files if path.count("/") <= _DEEPEST and _SOURCES.fullmatch(path))
    return sorted(
        paths,
        key=lambda path: (not re.search(r"(?:App|Application|Main)\.\w+$", path), path.count("/"), path),
    )[:_MOST_FILES]


def _plan(project: Project) -> BuildPlan | None:
    script = project.first((POM, *GRADLE))
    if script is None:
        return None
    is_maven = script == POM
    language = "Kotlin" if any(path.endswith(".kt") for path in project.files) else "Java"
    reasons = [f"`{script}` makes it a {language} project that {'Maven' if is_maven else 'Gradle'} builds."]
    choice = project.options.toolchains.choose("java", _requested_version(project, is_maven))
    reasons.append(choice.reason)
    build = _maven(project, reasons) if is_maven else _gradle(project, reasons)
    command, outcome, copy = build.start, build.outcome, build.copy
    if configured := configured_command(project):
        # It names files where the build leaves them.
        command, outcome, copy = configured[0], (), COPY_APP
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


def _maven(project: Project, reasons: list[str]) -> JavaBuild:
    poms = {
        path: _without_comments(text)
        for path in sorted(project.files)
        if path.rpartition("/")[2] == POM and path.count("/") <= 2 and (text := project.text(path))
    }
    everything = "\n".join(poms.values())
    wrapper = project.has("mvnw")
    program = "sh ./mvnw" if wrapper else "mvn"
    reasons.append(
        "Its wrapper, `mvnw`, brings the release of Maven that it names."
        if wrapper
        else "The server's Maven builds it."
    )
    command = (
        f"{program} --batch-mode --no-transfer-progress -Dmaven.repo.local=/cache/m2 -DskipTests package"
    )
    port = _port(everything)
    run_jar = JavaBuild(command, f"{_JVM} {port}-jar app.jar", (f"RUN {_GATHER}",))
    is_packed = _PACKERS.search(everything) or re.search(r"<mainClass>", _jar_plugin(everything))
    if is_packed:
        reasons.append("The archive that it makes has a main class, and is run.")
        return run_jar
    if re.search(r"<packaging>\s*war\s*<", everything):
        raise undetected(
            "This is a Java project that makes a WAR, for a servlet container such as Tomcat.",
            "Make the archive runnable by itself (Spring Boot's Maven plugin does), or add a Dockerfile that begins "
            "with the image of your container.",
        )
    main = _main_class(project, everything)
    if main is None:
        raise undetected(
            f"This is a Java project ({POM}), but it has no main class to run.",
            "Add a class with a main method, or set the app's start command.",
        )
    folder, name = main
    reasons.append(f"Its main class {name} is run, with the packages that it needs beside it.")
    inner = f"{folder}/" if folder else ""
    command_with_packages = command.replace(
        " package",
        " package dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=/app/run/lib",
    )
    outcome = f"RUN mkdir -p run && cp -r {inner}target/classes run/classes"
    return JavaBuild(command_with_packages, f"{_JVM} {port}-cp 'classes:lib/*' {name}", (outcome,))


def _without_comments(text: str) -> str:
    kept, *comments = text.split("<!--")
    return kept + "".join(comment.partition("-->")[2] for comment in comments)


def _jar_plugin(poms: str) -> str:
    """Return the configuration of the plugin that makes the archive, where a main class makes it runnable."""
    start = poms.find("<artifactId>maven-jar-plugin<")
    end = poms.find("</plugin>", start)
    return poms[start:end] if 0 <= start < end else ""


def _main_class(project: Project, poms: str) -> tuple[str, str] | None:
    """Return (module's folder, class): as the pom names it, else the first source with a main method."""
    named_class = _MAIN_CLASS.search(poms)
    for path in _sources(project.files):
        text = project.text(path) or ""
        parts = _SOURCES.fullmatch(path)
        if parts is None or not (_MAIN if parts[4] == "java" else _KOTLIN_MAIN).search(text):
            continue
        package = _PACKAGE.search(text)
        name = parts[3] if parts[4] == "java" else f"{parts[3][:1].upper()}{parts[3][1:]}Kt"
        class_name = f"{package[1]}.{name}" if package else name
        folder = parts[1] or ""
        if named_class and named_class[1] != class_name:
            continue
        if re.fullmatch(r"[\w.]+", class_name) and (not folder or is_plain(folder)):
            return folder, class_name
    return ("", named_class[1]) if named_class else None


def _gradle(project: Project, reasons: list[str]) -> JavaBuild:
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
    if not project.has("gradlew"):
        reasons.append(
            "The server's Gradle builds it. Commit the wrapper (`gradle wrapper`) to choose the release."
        )
    else:
        reasons.append("Its wrapper, `gradlew`, brings the release of Gradle that it names.")
    program = "sh ./gradlew" if project.has("gradlew") else "gradle"
    port = _port(scripts)
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
        return JavaBuild(f"{program} --no-daemon installDist -x test", start, (gather,))
    reasons.append("The archive that it makes has a main class, and is run.")
    task = "bootJar" if "org.springframework.boot" in scripts and "war" not in scripts else "assemble"
    return JavaBuild(
        f"{program} --no-daemon {task} -x test", f"{_JVM} {port}-jar app.jar", (f"RUN {_GATHER}",)
    )


def _port(scripts: str) -> str:
    return next((f"{option} " for word, option in _PORTS.items() if word in scripts), "")


def _requested_version(project: Project, is_maven: bool) -> VersionRequest | None:
    """Return the version: pinned by a file, else what the build compiles for, which newer ones can do as well."""
    if pinned := version_in_tool_files(project.text, "java", Dialect.NPM) or version_in_file(
        project.text(VERSION_FILE), VERSION_FILE, Dialect.NPM
    ):
        return _major(pinned)
    if sdkman := re.search(r"^java=(\S+)", project.text(SDKMAN) or "", re.MULTILINE):
        requirement = parse_requirement(sdkman[1].partition("-")[0])
        return _major(VersionRequest(requirement, f"`{SDKMAN}`")) if requirement else None
    if heroku := re.search(
        r"^java\.runtime\.version\s*=\s*(?:\w+-)?(\d[\d.]*)",
        project.text(SYSTEM_PROPERTIES) or "",
        re.MULTILINE,
    ):
        return VersionRequest.read(_modern_number(heroku[1]), SYSTEM_PROPERTIES)
    return _pom_version(project) if is_maven else _gradle_version(project)


def _major(requested: VersionRequest) -> VersionRequest | None:
    """Return the same for the major number only: a JDK's update is not what a project depends on."""
    match = re.search(r"(?:^|-)(?:1\.)?(\d+)", requested.requirement.text)
    requirement = parse_requirement(match[1]) if match else None
    return VersionRequest(requirement, requested.origin) if requirement else None


def _pom_version(project: Project) -> VersionRequest | None:
    text = _without_comments(project.text(POM) or "")
    for name in _POM_VERSIONS:
        if match := re.search(rf"<{re.escape(name)}>\s*(?:1\.)?(\d+)\s*<", text):
            return VersionRequest.read(f">={match[1]}", POM)
    return None


def _gradle_version(project: Project) -> VersionRequest | None:
    for path in sorted(project.files, key=lambda path: (path.count("/"), path)):
        if path.rpartition("/")[2] not in GRADLE or not (text := project.text(path)):
            continue
        if match := _GRADLE_VERSION.search(text):
            # A toolchain is that release and no other; the rest are the least one.
            exact = _IS_TOOLCHAIN.search(text)
            return VersionRequest.read(match[1] if exact else f">={match[1]}", path)
    return None


def _modern_number(version: str) -> str:
    return version.removeprefix("1.").split(".")[0]


RUNTIME = Runtime(
    name="java",
    looked_for=f"Java and Kotlin ({POM}, build.gradle, build.gradle.kts)",
    needs=_needs,
    plan=_plan,
)
