"""Java and Kotlin: Maven and Gradle, with and without wrapper; what is run of what they build."""

from __future__ import annotations

import pytest

from tests.unit.buildplan.trees import EVERYTHING, Tree, command, lines, planned, refused, step

SPRING = (
    "<project><parent><artifactId>spring-boot-starter-parent</artifactId></parent>"
    "<properties><java.version>17</java.version></properties></project>"
)
PLAIN = "<project><artifactId>hello</artifactId></project>"
JAVA_MAIN = "package org.example;\n\npublic class Hello {\n  public static void main(String[] args) {}\n}\n"
GRADLE = "plugins {\n  id 'org.springframework.boot' version '3.5.0'\n}\n"


def test_spring_boot_by_maven() -> None:
    plan = planned({"pom.xml": SPRING}, toolchains=EVERYTHING)
    assert plan.runtime == "java"
    assert " mvn --batch-mode" in step(plan, "package")
    assert command(plan).endswith("-Dserver.port=$PORT -jar app.jar")
    assert "FROM stackyn/java:21 AS build" in lines(plan) and "FROM stackyn/jre:21" in lines(plan)


@pytest.mark.parametrize(
    ("tree", "program"),
    [
        ({"pom.xml": SPRING, "mvnw": ""}, "sh ./mvnw"),
        ({"build.gradle": GRADLE, "gradlew": ""}, "sh ./gradlew"),
        ({"build.gradle": GRADLE}, "gradle"),
    ],
)
def test_a_wrapper_is_used_whether_or_not_it_is_executable(tree: Tree, program: str) -> None:
    assert f" {program} -" in step(
        planned(tree, toolchains=EVERYTHING), "gradle" if "build.gradle" in tree else "mvn"
    )


def test_a_program_without_a_plugin_runs_from_its_classes() -> None:
    tree = {"pom.xml": PLAIN, "src/main/java/org/example/Hello.java": JAVA_MAIN}
    plan = planned(tree, toolchains=EVERYTHING)
    assert "dependency:copy-dependencies" in step(plan, "mvn")
    assert command(plan).endswith("-cp 'classes:lib/*' org.example.Hello")


def test_the_main_class_of_the_pom_wins() -> None:
    tree = {
        "pom.xml": "<project><properties><exec.mainClass>org.example.Web</exec.mainClass></properties></project>",
        "src/main/java/org/example/Hello.java": JAVA_MAIN,
        "src/main/java/org/example/Web.java": JAVA_MAIN.replace("Hello", "Web"),
    }  # fmt: skip
    assert command(planned(tree, toolchains=EVERYTHING)).endswith(" org.example.Web")


def test_kotlin_runs_the_class_of_the_file() -> None:
    tree = {"pom.xml": PLAIN, "src/main/kotlin/app/Main.kt": "package app\n\nfun main() {}\n"}
    plan = planned(tree, toolchains=EVERYTHING)
    assert command(plan).endswith(" app.MainKt") and "Kotlin" in plan.reasons[0]


def test_a_war_for_a_container_is_refused() -> None:
    failure = refused(
        {"pom.xml": PLAIN.replace("</project>", "<packaging>war</packaging></project>")},
        toolchains=EVERYTHING,
    )
    assert "WAR" in failure.message and "Dockerfile" in failure.hint


def test_a_library_is_refused() -> None:
    assert "no main class" in refused({"pom.xml": PLAIN}, toolchains=EVERYTHING).message


@pytest.mark.parametrize(
    ("script", "task", "start"),
    [
        (GRADLE, "bootJar", "-jar app.jar"),
        ("plugins {\n  application\n}\n", "installDist", "bin/start-app"),
        ("plugins {\n  id 'application'\n}\n", "installDist", "bin/start-app"),
        (
            "plugins {\n  id 'java'\n}\njar { manifest { attributes 'Main-Class': 'A' } }\n",
            "assemble",
            "-jar app.jar",
        ),
    ],
)
def test_what_gradle_is_asked_to_make(script: str, task: str, start: str) -> None:
    plan = planned({"build.gradle": script, "gradlew": ""}, toolchains=EVERYTHING)
    assert f" {task} " in step(plan, "gradlew") and command(plan).endswith(start)


@pytest.mark.parametrize(
    ("tree", "version"),
    [
        ({"pom.xml": SPRING}, "21"),
        ({"pom.xml": SPRING, ".java-version": "17"}, "17"),
        ({"pom.xml": SPRING, ".java-version": "temurin-17.0.9"}, "17"),
        ({"pom.xml": SPRING, ".tool-versions": "java temurin-17.0.9+9\n"}, "17"),
        ({"pom.xml": SPRING, "mise.toml": '[tools]\njava = "17"\n'}, "17"),
        ({"pom.xml": SPRING, "mise.toml": '[tools]\njava = "corretto-17.0.9.8.1"\n'}, "17"),
        ({"pom.xml": SPRING, ".java-version": "zulu-17"}, "17"),
        ({"pom.xml": SPRING, ".sdkmanrc": "# of sdk env\njava=17.0.9-tem\n"}, "17"),
        ({"pom.xml": SPRING, "system.properties": "java.runtime.version=17\n"}, "17"),
        ({"build.gradle.kts": GRADLE + "kotlin { jvmToolchain(17) }\n"}, "17"),
        ({"build.gradle": GRADLE + "sourceCompatibility = '11'\n"}, "21"),
    ],
)
def test_the_version_is_read_from_the_project(tree: Tree, version: str) -> None:
    assert f"FROM stackyn/jre:{version}" in lines(planned(tree, toolchains=EVERYTHING))


def test_the_share_of_memory_is_a_fraction() -> None:
    """Java 8 starts with no other."""
    assert "-XX:MaxRAMPercentage=70.0 " in command(planned({"pom.xml": SPRING}, toolchains=EVERYTHING))


def test_a_version_that_is_not_there_is_refused() -> None:
    failure = refused({"pom.xml": SPRING.replace("17", "99")}, toolchains=EVERYTHING)
    assert failure.message == "`pom.xml` asks for Java >=99, and this server has Java 17 and 21."


def test_the_owners_command_runs_in_the_build_folder() -> None:
    plan = planned({"pom.xml": SPRING, "Procfile": "web: java -jar target/shop.jar"}, toolchains=EVERYTHING)
    assert "COPY --from=build --chown=app:app /app/ /app/" in lines(plan)
    assert command(plan) == "exec java -jar target/shop.jar"


@pytest.mark.parametrize(
    "tree",
    [
        {
            "build.gradle.kts": "",
            "app/build.gradle.kts": "plugins {\n  alias(libs.plugins.android.application)\n}\n",
        },
        {
            "build.gradle": "classpath 'com.android.tools.build:gradle:7.0.4'",
            "app/build.gradle": "android {\n}\n",
        },
        {"settings.gradle": "", "app/build.gradle": "plugins {\n  id 'com.android.application'\n}\n"},
    ],
)
def test_an_app_for_phones_is_refused_as_one(tree: Tree) -> None:
    assert "an Android app" in refused(tree, toolchains=EVERYTHING).message
    server = {"server/build.gradle.kts": 'plugins {\n  id("io.ktor.plugin")\n}\n'}
    assert planned({**tree, **server}, toolchains=EVERYTHING).runtime == "java"
