"""Reading and changing what another tenant has."""

from __future__ import annotations

import itertools

from stackyn_server import config
from stackyn_server.api.endpoint import Access
from tests.contract.conftest import PASSWORD, Answer
from tests.contract.endpoint_calls import an_app
from tests.hostile.api_stage import SECRET, ApiStage, let_in, said, shown, with_settings
from tests.hostile.attempts import Attempt, Got, Open, Tries, as_it_is
from tests.hostile.every_endpoint import about_somebody, endpoints_of, every_endpoint, the_attacker

NOT_FOUND = "404 NOT_FOUND"
AS_OWNER: Open[ApiStage] = Open("as the owner", as_it_is)

_numbers = itertools.count(1)

ENDPOINTS = [
    every_endpoint(
        f"endpoints of access {access.name} about what somebody else has",
        about_somebody(access),
        the_attacker,
        NOT_FOUND,
    )
    for access in (Access.USER, Access.APP_OWNER, Access.DEPLOYMENT_OWNER)
] + [
    every_endpoint(
        f"endpoints of access {access.name} without being one",
        endpoints_of(access),
        the_attacker,
        "403 FORBIDDEN",
    )
    for access in (Access.ADMIN, Access.OPERATOR)
]


# Names of the owner's app that are not quite its id


async def _read_as_owner(stage: ApiStage) -> Got:
    return shown(await stage.owner.get(stage.environment))


def _named(path: str) -> Tries[ApiStage]:
    """`path` may have the owner's app and one of the attacker's."""

    async def read(stage: ApiStage) -> Got:
        own = (await an_app(await stage.platform.person()))["app"]
        theirs = stage.theirs["app"]
        beyond = {
            "beyond": int(theirs) + 2**64,
            "arabic": "".join(f"%D9%{0xA0 + int(c):X}" for c in str(theirs)),
        }
        return shown(await stage.attacker.get(path.format(app=theirs, own=own, **beyond)))

    return read


PATHS = (
    "/api/v1/apps/0{app}/env",
    "/api/v1/apps/+{app}/env",
    "/api/v1/apps/{app}.0/env",
    "/api/v1/apps/%20{app}/env",
    "/api/v1/apps/{app}%00/env",
    "/api/v1/apps/{beyond}/env",
    "/api/v1/apps/{arabic}/env",
    "/api/v1/apps/{own}/../{app}/env",
    "/api/v1/apps/{own}%2F..%2F{app}/env",
    "/api/v1/apps/{own},{app}/env",
    "/api/v1/apps/{own}/env?app={app}&app_id={app}",
    "/api/v1/apps/{own}/env;{app}",
)
NAMES = [Attempt(f"variables by way of {path}", _named(path), "", AS_OWNER, _read_as_owner) for path in PATHS]


# Keys of a body that nobody asked for


async def _registry_for_their_app(stage: ApiStage) -> Got:
    body = {"host": "evil.example.test", "user": "x", "password": "y", "app_id": stage.theirs["app"]}
    return let_in(await stage.attacker.post("/api/v1/registries", json=body))


async def _registry_for_own_app(stage: ApiStage) -> Got:
    body = {"host": "evil.example.test", "user": "x", "password": "y", "app_id": stage.theirs["app"]}
    return let_in(await stage.owner.post("/api/v1/registries", json=body))


async def _read_registry(stage: ApiStage) -> Got:
    """An owner's page in a stranger's hands: passwords are shown to nobody."""
    body = {"host": "ghcr.io", "user": "ada", "password": SECRET}
    stored = await stage.owner.post("/api/v1/registries", json=body)
    listed = await stage.owner.get("/api/v1/registries")
    return Got(SECRET in stored.text + listed.text, said(listed))


async def _variable_of_their_app(stage: ApiStage) -> Got:
    own = (await an_app(await stage.platform.person()))["app"]
    body = {"key": "KEY", "value": "overwritten", "app_id": stage.theirs["app"], "id": stage.theirs["app"]}
    answer = await stage.attacker.post(f"/api/v1/apps/{own}/env", json=body)
    after = await stage.owner.get(stage.environment)
    return Got("overwritten" in after.text, said(answer))


async def _variable_of_own_app(stage: ApiStage) -> Got:
    body = {"key": "OTHER", "value": "overwritten"}
    answer = await stage.owner.post(stage.environment, json=body)
    return Got("overwritten" in (await stage.owner.get(stage.environment)).text, said(answer))


async def _app_for_somebody(stage: ApiStage) -> Got:
    """Make an app in the owner's name."""
    body = {"name": f"planted {next(_numbers)}", "repo_url": "https://git.example.test/a/b"}
    body |= dict.fromkeys(("user_id", "tenant", "owner", "account"), str(stage.owner.id))
    answer = await (await stage.platform.person()).post("/api/v1/apps", json=body)
    return Got("planted" in (await stage.owner.get("/api/apps")).text, said(answer))


async def _app_for_oneself(stage: ApiStage) -> Got:
    person = await stage.platform.person()
    await person.new_app(f"planted {next(_numbers)}")
    return Got("planted" in (await person.get("/api/apps")).text, "")


BODIES = [
    Attempt("registry credential for somebody else's app", _registry_for_their_app, NOT_FOUND, AS_OWNER,
            _registry_for_own_app),
    Attempt("password of a registry, read again", _read_registry, "200", Open("a variable, for its owner", as_it_is),
            _read_as_owner),
    Attempt("variable of another app, named in the body", _variable_of_their_app, NOT_FOUND,
            Open("named in the path, as the owner", as_it_is), _variable_of_own_app),
    Attempt("app in somebody else's name", _app_for_somebody, "201", Open("in one's own", as_it_is),
            _app_for_oneself),
]  # fmt: skip


# Rights that one does not have


def _becomes(path: str, method: str, body: dict[str, object]) -> Tries[ApiStage]:
    """Success is a profile that is more than before."""

    async def change(stage: ApiStage) -> Got:
        person = await stage.platform.person(plan="free", email_verified=False)
        named = {key: str(person.id) if value == "own id" else value for key, value in body.items()}
        answer = await person.call(method, path.format(user=person.id), json=named)
        return Got(_is_more(await person.get("/api/user/me")), said(answer))

    return change


def _is_more(profile: Answer) -> bool:
    return bool(
        profile.json["is_admin"]
        or profile.json["plan"] != "free"
        or profile.json["email_verified"]
        or profile.json["email"] == "owner@example.test"
    )


async def _is_given(stage: ApiStage) -> Got:
    person = await stage.platform.person(plan="free", email_verified=False)
    admin = await stage.platform.person(is_admin=True)
    answer = await admin.call("PATCH", f"/admin/users/{person.id}/plan", json={"plan": "pro"})
    return Got(_is_more(await person.get("/api/user/me")), said(answer))


GIVEN: Open[ApiStage] = Open("an administrator gives a plan", as_it_is)
MORE = {
    "is_admin": True,
    "plan": "pro",
    "billing_status": "active",
    "email_verified": True,
    "email": "owner@example.test",
    "id": "own id",
}
RIGHTS = [
    *(
        Attempt(
            f"{key} by one's own profile",
            _becomes("/api/auth/update-profile", "POST", {"full_name": "Eve", key: value}),
            "200",
            GIVEN,
            _is_given,
        )
        for key, value in MORE.items()
    ),
    Attempt("a plan, as administrators give it", _becomes("/admin/users/{user}/plan", "PATCH", {"plan": "pro"}),
            "403 FORBIDDEN", GIVEN, _is_given),
    Attempt("a plan by the endpoint for tests", _becomes("/api/v1/test/billing", "POST", {"plan": "pro"}), NOT_FOUND,
            Open("test_endpoint = true",
                 with_settings(lambda: {"billing": config.BillingSettings(test_endpoint=True)}))),
]  # fmt: skip


# Sign-ins that are over


def _after(path: str, **body: str) -> Tries[ApiStage]:
    """A stolen token, after its owner did this."""

    async def read(stage: ApiStage) -> Got:
        person = await stage.platform.person()
        stolen = (await stage.platform.services.accounts.sign_in(person.email, PASSWORD)).token
        answer = await person.post(path, json={"current_password": PASSWORD, **body})
        assert answer.status == 200, answer.text
        return let_in(await stage.holding(stolen).get("/api/user/me"))

    return read


async def _before(stage: ApiStage) -> Got:
    person = await stage.platform.person()
    stolen = (await stage.platform.services.accounts.sign_in(person.email, PASSWORD)).token
    return let_in(await stage.holding(stolen).get("/api/user/me"))


async def _deleted_access_token(stage: ApiStage) -> Got:
    person = await stage.platform.person()
    made = (await person.post("/api/v1/tokens", json={"name": "x", "current_password": PASSWORD})).json
    assert (await person.delete(f"/api/v1/tokens/{made['id']}")).status == 204
    return let_in(await stage.holding(made["token"]).get("/api/user/me"))


async def _access_token(stage: ApiStage) -> Got:
    person = await stage.platform.person()
    made = (await person.post("/api/v1/tokens", json={"name": "x", "current_password": PASSWORD})).json
    return let_in(await stage.holding(made["token"]).get("/api/user/me"))


ENDED: list[Attempt[ApiStage]] = [
    Attempt("stolen sign-in after signing out everywhere", _after("/api/auth/logout-everywhere"), "401 SESSION_ENDED",
            Open("before that", as_it_is), _before),
    Attempt("stolen sign-in after a new password", _after("/api/auth/update-profile", password="another password"),
            "401 SESSION_ENDED", Open("before that", as_it_is), _before),
    Attempt("access token that was deleted", _deleted_access_token, "401 SIGN_IN_REQUIRED",
            Open("before that", as_it_is), _access_token),
]  # fmt: skip
