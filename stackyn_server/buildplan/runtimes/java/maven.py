"""Java built by Maven: the archive, the main class and the version from its poms."""

from __future__ import annotations

import re
from collections.abc import Iterable

from stackyn_server.buildplan.generated.stages import is_plain
from stackyn_server.buildplan.project import Project, undetected
from stackyn_server.buildplan.runtimes.java.archive import GATHER, JVM, JavaBuild, port_option
from stackyn_server.buildplan.versions.requirement import VersionRequest

POM = "pom.xml"
_MOST_FILES, _DEEPEST = 300, 12
_SOURCES = re.compile(r"(?:([^/]+(?:/[^/]+)*)/)?src/main/(?:java|kotlin)/((?:[^/]+/)*)([^/]+)\.(java|kt)")
_MAIN = re.compile(r"\bstatic\s+(?:final\s+)?void\s+main\s*\(|^[ \t]*void\s+main\s*\(", re.MULTILINE)
_KOTLIN_MAIN = re.compile(r"^(?:suspend\s+)?fun\s+main\s*\(", re.MULTILINE)
_PACKAGE = re.compile(r"^[ \t]*package[ \t]+([\w.]+)", re.MULTILINE)
_MAIN_CLASS = re.compile(
    r"<(?:mainClass|exec\.mainClass|start-class|main\.class|main-class)>\s*([\w.$]+)\s*<"
)
# Maven plugins that make an archive which `java -jar` can run.
_PACKERS = re.compile(
    r"<artifactId>\s*(?:spring-boot-maven-plugin|maven-shade-plugin|maven-assembly-plugin|quarkus-maven-plugin|"
    r"micronaut-maven-plugin|helidon-maven-plugin|spring-boot-starter-parent)\s*<"
)
# Maven's names for the language's release; the first one in this order wins.
_POM_VERSIONS = (
    "maven.compiler.release", "java.version", "maven.compiler.target", "maven.compiler.source", "jdk.version",
    "release", "jvmToolchain",
)  # fmt: skip


def source_files(files: Iterable[str]) -> list[str]:
    """Return the files that may hold the main class, the likely ones first: near the top, named like one."""
    paths = (path for path in files if path.count("/") <= _DEEPEST and _SOURCES.fullmatch(path))
    return sorted(
        paths,
        key=lambda path: (not re.search(r"(?:App|Application|Main)\.\w+$", path), path.count("/"), path),
    )[:_MOST_FILES]


def maven_build(project: Project, reasons: list[str]) -> JavaBuild:
    """Return how Maven builds the project, and add why to `reasons`. Raises `DeploymentFailed` if nothing can run."""
    poms = {
        path: _without_comments(text)
        for path in sorted(project.files)
        if path.rpartition("/")[2] == POM and path.count("/") <= 2 and (text := project.text(path))
    }
    everything = "\n".join(poms.values())
    if project.has("mvnw"):
        program = "sh ./mvnw"
        reasons.append("Its wrapper, `mvnw`, brings the release of Maven that it names.")
    else:
        program = "mvn"
        reasons.append("The server's Maven builds it.")
    command = (
        f"{program} --batch-mode --no-transfer-progress -Dmaven.repo.local=/cache/m2 -DskipTests package"
    )
    port = port_option(everything)
    run_jar = JavaBuild(command, f"{JVM} {port}-jar app.jar", f"RUN {GATHER}")
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
    command += " dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=/app/run/lib"
    outcome = f"RUN mkdir -p run && cp -r {inner}target/classes run/classes"
    return JavaBuild(command, f"{JVM} {port}-cp 'classes:lib/*' {name}", outcome)


def _without_comments(text: str) -> str:
    kept, *comments = text.split("<!--")
    return kept + "".join(comment.partition("-->")[2] for comment in comments)


def _jar_plugin(poms: str) -> str:
    """Return the configuration of the archive's plugin, in which a main class makes the archive runnable."""
    start = poms.find("<artifactId>maven-jar-plugin<")
    end = poms.find("</plugin>", start)
    return poms[start:end] if 0 <= start < end else ""


def _main_class(project: Project, poms: str) -> tuple[str, str] | None:
    """Return (module's folder, class): the pom's main class, else the first source with a main method."""
    named_class = _MAIN_CLASS.search(poms)
    for path in source_files(project.files):
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


def pom_version(project: Project) -> VersionRequest | None:
    """Return the lowest version of Java that the pom compiles for."""
    text = _without_comments(project.text(POM) or "")
    for name in _POM_VERSIONS:
        if match := re.search(rf"<{re.escape(name)}>\s*(?:1\.)?(\d+)\s*<", text):
            return VersionRequest.read(f">={match[1]}", POM)
    return None
