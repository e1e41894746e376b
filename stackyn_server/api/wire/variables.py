"""Variables of an app, in clear for its owner."""

from __future__ import annotations

from datetime import datetime

from stackyn_server.api.wire.base import ResponseBody


class Variable(ResponseBody):
    id: int
    app_id: int
    key: str
    value: str
    created_at: datetime
    updated_at: datetime
