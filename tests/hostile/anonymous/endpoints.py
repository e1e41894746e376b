"""Every endpoint without a token, and ways around the check before it."""

from __future__ import annotations

from stackyn_server.api.endpoint import Access
from tests.contract.conftest import OPERATORS_TOKEN
from tests.hostile.api_stage import ApiStage, shown
from tests.hostile.attempts import Attempt, Got, Open, Tries, as_it_is
from tests.hostile.every_endpoint import endpoints_of, every_endpoint, nobody

SIGN_IN, ENDED = "401 SIGN_IN_REQUIRED", "401 SESSION_ENDED"


def _figures(token: str) -> Tries[ApiStage]:
    async def scrape(stage: ApiStage) -> Got:
        return shown(await stage.holding(token).get("/metrics"), "stackyn_requests_total")

    return scrape


async def _token_in_the_address(stage: ApiStage) -> Got:
    """Only a WebSocket takes it from there: addresses are logged by proxies."""
    return shown(await stage.platform.nobody.get(f"{stage.environment}?token={stage.owner.token}"))


async def token_in_the_header(stage: ApiStage) -> Got:
    return shown(await stage.owner.get(stage.environment))


def _around(path: str, **headers: str) -> Tries[ApiStage]:
    async def ask(stage: ApiStage) -> Got:
        answer = await stage.attacker.get(
            path, headers={name.replace("_", "-"): headers[name] for name in headers}
        )
        return shown(answer, '"users"')

    return ask


async def _as_administrator(stage: ApiStage) -> Got:
    return shown(await (await stage.platform.person(is_admin=True)).get("/admin/users"), '"users"')


AROUND = {
    "/admin/users": {},
    "/%2Fadmin/users": {},
    "/./admin/users": {},
    "/ADMIN/users": {},
    "/admin%2Fusers": {},
    "/admin/users%00": {},
    "/admin/users;x=1": {},
    "/docs/../admin/users": {},
    "/docs/%2e%2e/admin/users": {},
    "/health?x=/admin/users": {"X_Original_URL": "/admin/users", "X_Rewrite_URL": "/admin/users"},
    "/health": {"X_HTTP_Method_Override": "GET", "X_Forwarded_Prefix": "/admin/users"},
}
WITHOUT_TOKEN = [
    *(
        every_endpoint(
            f"endpoints of access {access.name}, without a token",
            endpoints_of(access),
            nobody,
            SIGN_IN,
        )
        for access in Access
        if access is not Access.PUBLIC
    ),
    Attempt(
        "token in an address",
        _token_in_the_address,
        SIGN_IN,
        Open("in the header", as_it_is),
        token_in_the_header,
    ),
    *(
        Attempt(
            f"pages of administrators by way of {path}" + (" and headers" if headers else ""),
            _around(path, **headers),
            "",
            Open("as an administrator", as_it_is),
            _as_administrator,
        )
        for path, headers in AROUND.items()
    ),
    *(
        Attempt(
            f"figures of the server with the token {token!r}",
            _figures(token),
            SIGN_IN,
            Open("with the operator's token", as_it_is),
            _figures(OPERATORS_TOKEN),
        )
        for token in ("x", OPERATORS_TOKEN[:-1], OPERATORS_TOKEN.upper())
    ),
]
