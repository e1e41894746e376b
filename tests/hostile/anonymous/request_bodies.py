"""Request bodies that cost more than they should."""

from __future__ import annotations

import io
import zlib

from stackyn_server import config
from tests.hostile.api_stage import ApiStage, said, with_settings
from tests.hostile.attempts import Attempt, Got, Open, Tries, as_it_is


def _logs_in_with(body: bytes, **headers: str) -> Tries[ApiStage]:
    """Success is that it is read as a sign-in of an unknown address."""

    async def post(stage: ApiStage) -> Got:
        answer = await stage.platform.nobody.post("/api/auth/login", data=io.BytesIO(body), headers=headers)
        return Got(answer.status == 401, said(answer))

    return post


LOGIN = b'{"email": "nobody@example.test", "password": "xxxxxxxx"%s}'
COMPRESSED = zlib.compress(LOGIN % (b" " * 20_000_000), 9)
ROOMY: Open[ApiStage] = Open(
    "with a higher limit",
    with_settings(lambda: {"server": config.ServerSettings(body_limit_bytes=100_000_000)}),
)
BODIES = [
    Attempt("a body above the limit", _logs_in_with(LOGIN % (b" " * 2_000_000)), "413 BODY_TOO_LARGE", ROOMY),
    Attempt(
        "20 MB in 20 kB of compressed body",
        _logs_in_with(COMPRESSED, **{"Content-Encoding": "deflate"}),
        "413 BODY_TOO_LARGE",
        ROOMY,
    ),
    Attempt(
        "a body nested 50,000 times",
        _logs_in_with(LOGIN % (b', "x": ' + b"[" * 50_000 + b"]" * 50_000)),
        "400 INVALID_JSON",
        Open("nested a hundred times", as_it_is),
        _logs_in_with(LOGIN % (b', "x": ' + b"[" * 100 + b"]" * 100)),
    ),
]
