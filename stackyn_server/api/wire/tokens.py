"""Personal API tokens: contract section 6."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from stackyn_server.api.wire.base import RequestBody, ResponseBody, Text, read_from
from stackyn_server.domain.ids import LARGEST_ID
from stackyn_server.domain.scopes import Scope

MOST_DAYS = 3650

TokenScope = Literal[Scope.READ, Scope.DEPLOY, Scope.ADMIN]


class NewToken(RequestBody):
    """`days` is how long it works; without, until it is deleted. `app_id` is the one app that it sees; without, all.

    It needs `current_password`, except soon after signing in with a code or Firebase.
    """

    name: Text
    scopes: tuple[TokenScope, ...] | None = Field(default=None, description="Without: read and deploy.")
    app_id: int | None = Field(default=None, ge=1, le=LARGEST_ID)
    days: int | None = Field(default=None, ge=1, le=MOST_DAYS)
    current_password: Text | None = None

    def has_a_guess(self) -> bool:
        return bool(self.current_password)


class Token(ResponseBody):
    id: int
    name: str
    scopes: list[TokenScope]
    app_id: int | None = read_from("app")
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None


class MadeToken(Token):
    """`token` is shown here and never again."""

    token: str
