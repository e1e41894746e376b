"""The output of a Java build and how it is run: shared by Maven and Gradle."""

from __future__ import annotations

from dataclasses import dataclass

JVM = "java -XX:MaxRAMPercentage=70.0 $JAVA_OPTS"
# The port as each framework takes it from the command line; the others find it in PORT.
_PORTS = {
    "org.springframework.boot": "-Dserver.port=$PORT",
    "spring-boot": "-Dserver.port=$PORT",
    "quarkus": "-Dquarkus.http.host=0.0.0.0 -Dquarkus.http.port=$PORT",
    "micronaut": "-Dmicronaut.server.port=$PORT",
    "helidon": "-Dserver.port=$PORT -Dserver.host=0.0.0.0",
}
# Copies the program to /app/run: Quarkus' folder, else the archive with a main class whose path is the shortest.
GATHER = " && ".join(
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
    """`command` builds; `outcome` is the step that puts its output into /app/run; `start` runs it there."""

    command: str
    start: str
    outcome: str


def port_option(scripts: str) -> str:
    """Return the option that sets the port of the framework which build scripts name; empty for none."""
    return next((f"{option} " for word, option in _PORTS.items() if word in scripts), "")
