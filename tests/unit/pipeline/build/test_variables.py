"""How a build is told of the app's variables."""

from __future__ import annotations

import uuid

import pytest

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.domain.ids import UserId
from stackyn_server.pipeline.build.variables import BuildVariables, inject_variables

ANNA, BERT = UserId(uuid.UUID(int=1)), UserId(uuid.UUID(int=2))
KEY = b"k" * 32


def variables(values: dict[str, str], tenant: UserId = ANNA, key: bytes = KEY) -> BuildVariables:
    return BuildVariables.of(values, tenant=tenant, key=key)


def own(*arguments: str, syntax: str = "") -> BuildPlan:
    return BuildPlan("dockerfile", (), "Dockerfile", None, None, arguments=arguments, syntax=syntax)


def generated(text: str) -> BuildPlan:
    return BuildPlan("node", (), ".stackyn/Dockerfile", text, 8080)


def test_digest_depends_on_all_that_is_told_and_on_who_tells_it() -> None:
    first = variables({"A": "1", "B": "2"}).digest
    assert first == variables({"B": "2", "A": "1", "PORT": "80"}).digest != ""
    variants = (
        variables({"A": "1"}),
        variables({"A": "2", "B": "1"}),
        variables({"A": "1", "B": "2"}, BERT),
        variables({"A": "1", "B": "2"}, key=b"x" * 32),
    )
    assert len({first, *(variant.digest for variant in variants)}) == 5


def test_an_app_without_variables_is_built_as_before() -> None:
    plan = own("A")
    way = inject_variables(plan, variables({"PORT": "80"}))
    assert way.plan is plan
    assert (way.digest, way.hostname, way.secrets, way.arguments) == ("", "", {}, {})


def test_own_dockerfile_gets_secrets_and_what_it_declares() -> None:
    way = inject_variables(
        own("A", "PORT", "BUILDKIT_SYNTAX"), variables({"A": "1", "B": "2", "BUILDKIT_SYNTAX": "x"})
    )
    assert way.secrets == {"A": b"1", "B": b"2", "BUILDKIT_SYNTAX": b"x"}
    assert way.arguments == {"A": "1"}
    assert way.hostname == f"build-{way.digest}"
    assert "declares A with ARG" in way.sentence and "history" in way.sentence


@pytest.mark.parametrize(
    ("syntax", "no_cache"),
    [
        ("", False), ("docker/dockerfile:1", False), ("docker.io/docker/dockerfile:1.7-labs", False),
        ("docker/dockerfile:1.10", False), ("docker/dockerfile:1.1", True),
        ("docker/dockerfile:1.0-experimental", True), ("ghcr.io/some/frontend", True),
    ],
)  # fmt: skip
def test_frontends_that_name_no_hosts_build_without_cache(syntax: str, no_cache: bool) -> None:
    assert inject_variables(own(syntax=syntax), variables({"A": "1"})).no_cache is no_cache
    assert inject_variables(own(syntax=syntax), variables({})).no_cache is False


def test_generated_build_gets_secrets_and_no_arguments() -> None:
    way = inject_variables(generated("FROM x\nUSER app\nRUN npm ci\n"), variables({"A": "s3cret"}))
    assert way.plan.generated is not None and way.digest in way.plan.generated
    assert "s3cret" not in way.plan.generated
    assert way.secrets == {"A": b"s3cret"} and not way.arguments and not way.hostname
    assert "1 variable " in way.sentence


def test_files_that_are_only_copied_do_not_depend_on_variables() -> None:
    plan = generated("FROM x\nCOPY . /srv/site/\n")
    assert inject_variables(plan, variables({"A": "1"})) == inject_variables(plan, variables({}))


def test_values_are_not_shown() -> None:
    values = variables({"A": "s3cret"})
    assert "s3cret" not in f"{values!r} {inject_variables(own('A'), values)!r}"
