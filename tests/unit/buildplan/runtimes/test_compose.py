"""Docker Compose files: the service that is taken, and why others are refused."""

from __future__ import annotations

import pytest

from tests.unit.buildplan.trees import Tree, planned, refused

WEB = "services:\n  web:\n    build: .\n    ports: ['8080:3000']\n"
DATABASE = "  db:\n    image: postgres:17\n    ports: ['5432:5432']\n"
DOCKERFILE = "FROM scratch AS base\nFROM base AS slim\n"


@pytest.mark.parametrize(
    ("compose", "dockerfile", "context", "port"),
    [
        ("services:\n  web:\n    build: ./web\n    ports: ['8080:3000']\n", "web/Dockerfile", "web", 3000),
        ("services:\n  web:\n    build: web\n    ports:\n      - 3000:30\n", "web/Dockerfile", "web", 30),
        (
            "services:\n  web:\n    build: web\n    ports: ['127.0.0.1:80:81/tcp']\n",
            "web/Dockerfile",
            "web",
            81,
        ),
        ("services:\n  web:\n    build: web\n    ports: ['${PORT:-80}:82']\n", "web/Dockerfile", "web", 82),
        ("services:\n  web:\n    build: web\n    expose: ['83']\n", "web/Dockerfile", "web", 83),
        (
            "services:\n  web:\n    build: web\n    ports:\n      - target: 84\n        published: 1\n",
            "web/Dockerfile",
            "web",
            84,
        ),
        ("services:\n  web:\n    build: web\n", "web/Dockerfile", "web", None),
        (
            "services:\n  web:\n    build: {context: ., dockerfile: web/Dockerfile, target: slim}\n    ports: ['80']\n",
            "web/Dockerfile",
            None,
            80,
        ),
        (
            "x-build: &build\n  build: web\nservices:\n  web:\n    <<: *build\n    ports: ['85']\n",
            "web/Dockerfile",
            "web",
            85,
        ),
    ],
)
def test_the_service_that_is_built_is_taken(
    compose: str, dockerfile: str, context: str | None, port: int | None
) -> None:
    plan = planned({"docker-compose.yml": compose, "web/Dockerfile": DOCKERFILE})
    assert (plan.runtime, plan.root, plan.port) == ("compose", context, port)
    assert f"{context}/{plan.dockerfile}" == dockerfile if context else plan.dockerfile == dockerfile


def test_services_that_are_not_run_are_named() -> None:
    tree = {"compose.yaml": WEB.replace("build: .", "build: web") + DATABASE, "web/Dockerfile": DOCKERFILE}
    assert any("db" in reason and "not run" in reason for reason in planned(tree).reasons)


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        (
            {"compose.yaml": WEB + "  api:\n    build: api\n    ports: ['1']\n" + DATABASE},
            ("2 services", "web (built from .)", "api (built from api)", "db (image postgres:17)"),
        ),
        ({"compose.yaml": "services:\n" + DATABASE}, ("db (image postgres:17)", "builds nothing")),
        ({"compose.yaml": WEB.replace("build: .", "build: ../other")}, ("../other", "not in the repository")),
        ({"compose.yaml": WEB.replace("build: .", "build: web"), "web/README": ""}, ("web", "no Dockerfile")),
        ({"compose.yaml": "services:\n  a: [1\n"}, ("not valid YAML",)),
        ({"compose.yaml": "services: " + "[" * 100}, ("not valid YAML",)),
        ({"compose.yaml": "services: !!python/object:os.system\n  - x\n"}, ("compose.yaml",)),
    ],
)
def test_what_is_refused_is_named(tree: Tree, words: tuple[str, ...]) -> None:
    failure = refused(tree)
    assert all(word in f"{failure.message} {failure.hint}" for word in words), failure


def test_a_compose_file_beside_a_manifest_is_for_development() -> None:
    tree = {"compose.yaml": WEB, "package.json": '{"scripts": {"start": "node server.js"}}', "server.js": ""}
    assert planned(tree).runtime == "node"


def test_a_dockerfile_wins() -> None:
    assert planned({"compose.yaml": WEB, "Dockerfile": DOCKERFILE}).runtime == "dockerfile"


def test_a_dockerfile_inside_the_file_is_refused_by_its_name() -> None:
    text = "services:\n  app:\n    build:\n      context: .\n      dockerfile_inline: FROM nginx\n"
    assert "(dockerfile_inline)" in refused({"compose.yaml": text}).message
