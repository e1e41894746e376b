"""Pages of somebody else in a browser that knows this server."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stackyn_server import config
from stackyn_server.api import failures, reference
from tests.hostile.anonymous.endpoints import token_in_the_header
from tests.hostile.api_stage import ApiStage, let_in, moved, said, with_settings
from tests.hostile.attempts import Attempt, Got, Open, Tries, as_it_is, without

SIGN_IN, ENDED = "401 SIGN_IN_REQUIRED", "401 SESSION_ENDED"
EVIL = "https://evil.example.test"


def _readable_from(origin: str) -> Tries[ApiStage]:
    """Success is that a page of this origin may read the answer (Fetch standard, CORS check)."""

    async def ask(stage: ApiStage) -> Got:
        answer = await stage.platform.nobody.get("/api/apps", headers={"Origin": origin})
        allowed = answer.headers["Access-Control-Allow-Origin"]
        return Got(allowed in ("*", origin), f"for {allowed}")

    return ask


OUR_PAGE = "https://console.example.test"
ORIGINS = (
    EVIL,
    "null",
    f"{OUR_PAGE}.evil.example.test",
    "http://console.example.test",
    f"{OUR_PAGE}:8443",
    "https://CONSOLE.example.test",
)


@asynccontextmanager
async def closed_to_other_pages(stage: ApiStage) -> AsyncIterator[ApiStage]:
    public = config.PublicSettings(allowed_origins=(OUR_PAGE,))
    yield moved(stage, await stage.launch(public=public))


def _of(path: str, allows: str) -> Tries[ApiStage]:
    """Success is a content policy under which `allows` would be loaded or run (CSP level 3)."""

    async def ask(stage: ApiStage) -> Got:
        answer = await stage.platform.nobody.get(path)
        policy = dict(
            (words[0], words[1:])
            for part in answer.headers.get("Content-Security-Policy", "").split(";")
            if (words := part.split())
        )
        scripts = policy.get("script-src") or policy.get("default-src") or [allows]
        is_written = EVIL in answer.text or "<script>alert" in answer.text
        return Got(allows in scripts or "*" in scripts or is_written, f"script-src {' '.join(scripts)}")

    return ask


async def _framed(stage: ApiStage) -> Got:
    policy = (await stage.platform.nobody.get("/docs")).headers.get("Content-Security-Policy", "")
    return Got("frame-ancestors 'none'" not in policy, policy)


@asynccontextmanager
async def without_content_policy(stage: ApiStage) -> AsyncIterator[ApiStage]:
    async with without((reference, "_CONTENT_POLICY", ""))(stage):
        yield moved(stage, await stage.launch())


NO_POLICY: Open[ApiStage] = Open("without a content policy", without_content_policy)
EVERY_PAGE: Open[ApiStage] = Open('allowed_origins = ["*"]', with_settings(lambda: {}))


async def _reflected(stage: ApiStage) -> Got:
    harm = "<script>alert(1)</script>"
    answer = await stage.platform.nobody.get(f"/nothing/{harm}?x={harm}", headers={"X-Request-Id": harm})
    is_html = not answer.headers["Content-Type"].startswith("application/json")
    return Got(harm in answer.text + str(answer.headers) or is_html, said(answer))


async def _cookies(stage: ApiStage) -> Got:
    """Success is any answer that a browser would show as a page of the API's host with the visitor's text."""
    answer = await stage.platform.nobody.get("/api/apps", headers={"Cookie": f"token={stage.owner.token}"})
    return let_in(answer)


BROWSER = [
    *(
        Attempt(f"a page of {origin} reads answers", _readable_from(origin), f"for {OUR_PAGE}", EVERY_PAGE)
        for origin in ORIGINS
    ),
    Attempt(
        "scripts in /docs: one that is written into the page",
        _of("/docs?url=" + EVIL + "#<script>alert(1)", "'unsafe-inline'"),
        "script-src 'self'",
        NO_POLICY,
    ),
    Attempt(
        "scripts in /docs: one of another host",
        _of(f"/docs?configUrl={EVIL}/config.json", EVIL),
        "script-src 'self'",
        NO_POLICY,
    ),
    Attempt(
        "scripts in /docs: text that becomes code",
        _of("/docs", "'unsafe-eval'"),
        "script-src 'self'",
        NO_POLICY,
    ),
    Attempt("/docs in the frame of another page", _framed, "frame-ancestors 'none'", NO_POLICY),
    Attempt(
        "text of a request in an error page",
        _reflected,
        "404 NOT_FOUND",
        Open("with its id taken as it is", without((failures, "_GIVEN_REQUEST_ID", re.compile(".*")))),
    ),
    Attempt(
        "a token in a cookie, which other pages would send",
        _cookies,
        SIGN_IN,
        Open("in the header", as_it_is),
        token_in_the_header,
    ),
]
