"""Personal API tokens: contract section 6."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from stackyn_server.api.wire.base import RequestBody, ResponseBody, Text

MOST_DAYS = 3650


class NewToken(RequestBody):
    """`days` is how long it works; without, until it is deleted."""

    name: Text
    days: int | None = Field(default=None, ge=1, le=MOST_DAYS)


class Token(ResponseBody):
    id: int
    name: str
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None


class MadeToken(Token):
    """`token` is shown here and never again."""

    token: str
