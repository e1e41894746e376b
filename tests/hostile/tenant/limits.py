"""Taking more than one's plan has, and names that would mean something else than a name."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from stackyn_server import config
from stackyn_server.services import apps
from tests.contract.conftest import REPOSITORY
from tests.hostile.api_stage import ApiStage, let_in, said, with_settings
from tests.hostile.attempts import Attempt, Got, Open, Tries, as_it_is, without

_numbers = itertools.count(1)


def _unique(**body: Any) -> dict[str, Any]:
    return {"name": f"app {next(_numbers)}", "repo_url": REPOSITORY, **body}


def _new_app(plan: str = "free", **body: Any) -> Tries[ApiStage]:
    async def create(stage: ApiStage) -> Got:
        person = await stage.platform.person(plan=plan)
        return let_in(await person.post("/api/v1/apps", json=_unique(**body)))

    return create


def _changed(plan: str = "free", **body: Any) -> Tries[ApiStage]:
    async def change(stage: ApiStage) -> Got:
        person = await stage.platform.person(plan=plan)
        app = await person.new_app(f"app {next(_numbers)}")
        return let_in(await person.call("PATCH", f"/api/v1/apps/{app}", json=body))

    return change


def _at_once(plan: str) -> Tries[ApiStage]:
    """Success is a second app: the free plan has one."""

    async def create(stage: ApiStage) -> Got:
        person = await stage.platform.person(plan=plan)
        answers = await asyncio.gather(*(person.post("/api/v1/apps", json=_unique()) for _ in range(12)))
        refusals = [said(answer) for answer in answers if answer.status != 201]
        return Got(len(refusals) < 11, f"{refusals[:1]}")

    return create


async def _variables(stage: ApiStage) -> Got:
    """1.2 MB of them, in many requests."""
    person = await stage.platform.person()
    app = await person.new_app(f"app {next(_numbers)}")
    for number in range(20):
        body = {"key": f"KEY_{number}", "value": "x" * 60_000}
        answer = await person.post(f"/api/v1/apps/{app}/env", json=body)
        if answer.status != 200:
            break
    return let_in(answer)


MORE: dict[str, dict[str, Any]] = {
    "memory": {"memory_mb": 100_000},
    "memory below the plan's by an overflow": {"memory_mb": 2**32 + 256},
    "less than no memory": {"memory_mb": -256},
    "disk": {"disk_mb": 1_000_000},
    "memory of builds": {"build_memory_mb": 100_000},
    "no processor at all": {"cpu": 0},
    "more processors than the plan's": {"cpu": 1.5},
    "more processors than any machine": {"cpu": 10_000},
    "a port that is none": {"port": 65_536},
}
SENSIBLE: Open[ApiStage] = Open("as much as the plan has", as_it_is)
LARGE = config.PlanSettings(
    display_name="Free", price=0, max_ram_mb=2**24, max_disk_mb=2**24, max_apps=50, max_build_memory_mb=2**20
)
LARGE_PLAN: Open[ApiStage] = Open(
    "with a larger plan",
    with_settings(lambda: {"plans": {"free": LARGE, "pro": LARGE, "starter": LARGE, "builder": LARGE}}),
)
TAKING_MORE = [
    *(
        Attempt(
            f"{way} {what}",
            tries("free", **body),
            "",
            SENSIBLE,
            tries("free", memory_mb=128, cpu=0.25, port=8080),
        )
        for what, body in MORE.items()
        for way, tries in (("a new app with", _new_app), ("a change to", _changed))
    ),
    Attempt("12 apps at the same moment", _at_once("free"), "403 QUOTA_", LARGE_PLAN),
    Attempt(
        "1.2 MB of variables",
        _variables,
        "400",
        Open(
            "with a higher limit",
            with_settings(lambda: {"apps": config.AppsSettings(variables_bytes=1_572_864)}),
        ),
    ),
]


# Names


def _any(value: Any, *_: object) -> Any:
    return value


def _any_field(changes: Any, _runtimes: object) -> dict[str, Any]:
    return dict(changes)


UNCHECKED_SLUGS: Open[ApiStage] = Open("with slugs unchecked", without((apps, "valid_slug", _any)))
UNCHECKED_BRANCHES: Open[ApiStage] = Open("with branches unchecked", without((apps, "valid_branch", _any)))
UNCHECKED_FIELDS: Open[ApiStage] = Open("with settings unchecked", without((apps, "checked", _any_field)))

SLUGS = (
    "a`) || PathPrefix(`/",
    '{{ env "HOME" }}',
    "a.example",
    "a/b",
    "a\nb",
    "UPPER",
    "-a",
    "a-",
    "xn--bücher",
    "١٢٣",
    "*",
)
BRANCHES = (
    "--upload-pack=id",
    "-x",
    "a..b",
    "a:b",
    "@{u}",
    "a b",
    "a\nb",
    "refs/heads/\x7f",
    "a.lock",
    "a\\b",
)
SETTINGS = {
    "root_directory": ("../..", "a/../../b", "a\nb", ".."),
    "dockerfile_path": ("../Dockerfile", "a\x01b"),
    "publish_directory": ("../..",),
    "health_path": (
        "http://169.254.169.254/",
        "@evil.example.test/",
        "/a\r\nHost: evil.example.test",
        "/a b",
    ),
    "build_command": ("true\nRUN id", "a\rb"),
    "build_target": ("--output=/etc", "a b"),
}


async def _reserved(stage: ApiStage) -> Got:
    person = await stage.platform.person()
    return let_in(await person.post("/api/v1/apps", json=_unique(slug="api")))


async def _reserved_by_name(stage: ApiStage) -> Got:
    """Without a slug it is derived from the name."""
    person = await stage.platform.person()
    answer = await person.post("/api/v1/apps", json=_unique() | {"name": "Docs"})
    return Got(answer.json["app"]["slug"] == "docs", f"{answer.status} {answer.json['app']['slug']}")


async def _taken(stage: ApiStage) -> Got:
    taken = (await stage.owner.get(f"/api/v1/apps/{stage.theirs['app']}")).json["slug"]
    person = await stage.platform.person()
    return let_in(await person.post("/api/v1/apps", json=_unique(slug=taken)))


UNRESERVED: Open[ApiStage] = Open(
    "with no slug reserved", with_settings(lambda: {"apps": config.AppsSettings(reserved_slugs=())})
)
NAMES = [
    *(Attempt(f"the slug {slug!r}", _new_app(slug=slug), "400", UNCHECKED_SLUGS) for slug in SLUGS),
    *(Attempt(f"the branch {branch!r}", _new_app(branch=branch), "400", UNCHECKED_BRANCHES) for branch in BRANCHES),
    *(
        Attempt(f"the {field} {value!r}", _new_app(**{field: value}), "400", UNCHECKED_FIELDS)
        for field, values in SETTINGS.items()
        for value in values
    ),
    Attempt("a host name of ours as a slug", _reserved, "409 SLUG_TAKEN", UNRESERVED),
    Attempt("a host name of ours as an app's name", _reserved_by_name, "201 docs-", UNRESERVED),
    Attempt("somebody else's host name as a slug", _taken, "409 SLUG_TAKEN", Open("a free one", as_it_is), _new_app()),
]  # fmt: skip
