"""Variables of an app, in clear for its owner."""

from __future__ import annotations

from datetime import datetime

from stackyn_server.api.wire.base import ResponseBody
from stackyn_server.services.variables import VariableView


class Variable(ResponseBody):
    id: int
    app_id: int
    key: str
    value: str
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, view: VariableView) -> Variable:
        return cls(
            id=view.id,
            app_id=view.app,
            key=view.key,
            value=view.value,
            created_at=view.created_at,
            updated_at=view.updated_at,
        )
