"""Logs and events: contract sections 3 and 6."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from stackyn_server.api.wire.base import Query, ResponseBody, left_out_when_none, read_from
from stackyn_server.domain.deployments import Status
from stackyn_server.domain.ids import LARGEST_ID

USUAL_ENTRIES, MOST_ENTRIES = 100, 1000
USUAL_TAIL, MOST_TAIL = 100, 10_000
USUAL_EVENTS, MOST_EVENTS = 100, 500


def _or_usual(least: int, most: int, usual: int | None) -> Callable[[Any], int | None]:
    """The contract's paging: what can't be used means the usual."""

    def read(value: Any) -> int | None:
        text = str(value).strip()
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(most))):
            return usual
        return int(text) if least <= int(text) <= most else usual

    return read


def lenient(least: int, most: int, usual: int | None) -> Any:
    """A number in a query that is `usual` when it is not one from `least` to `most`."""
    meaning = f"{least} to {most}; anything else counts as {'absent' if usual is None else usual}."
    return (
        BeforeValidator(_or_usual(least, most, usual)),
        WithJsonSchema({"description": meaning}),
    )


def _time_or_none(value: Any) -> datetime | None:
    try:
        time = datetime.fromisoformat(str(value))
        return time if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


LenientTime = Annotated[
    datetime | None,
    BeforeValidator(_time_or_none),
    WithJsonSchema({"description": "RFC 3339; anything else counts as absent."}),
]
Offset = Annotated[int, *lenient(0, LARGEST_ID, 0)]


class LogPage(Query):
    limit: Annotated[int, *lenient(1, MOST_ENTRIES, USUAL_ENTRIES)] = USUAL_ENTRIES
    offset: Offset = 0


class RuntimeStreamQuery(Query):
    since: LenientTime = None
    tail: Annotated[int, *lenient(0, MOST_TAIL, USUAL_TAIL)] = USUAL_TAIL


class EventPage(Query):
    """`before` is the id of the last event of the page before this one."""

    limit: Annotated[int, *lenient(1, MOST_EVENTS, USUAL_EVENTS)] = USUAL_EVENTS
    before: Annotated[int | None, *lenient(1, LARGEST_ID, None)] = None


class DeploymentLogs(ResponseBody):
    """Plain text with `\\n`. Where the plan does not include runtime logs, `runtime_log` and `notice` say so."""

    deployment_id: int
    status: Status
    build_log: str | None
    runtime_log: str | None
    error_message: str | None
    notice: str | None = left_out_when_none()


class LogEntry(ResponseBody):
    app_id: int = read_from("app")
    deployment_id: int | None = left_out_when_none(validation_alias="deployment")
    log_type: str = read_from("kind")
    timestamp: datetime = read_from("created_at")
    content: str
    size: int


class Event(ResponseBody):
    """`name` is `noun.verb`."""

    id: int
    name: str
    deployment_id: int | None = read_from("deployment")
    data: dict[str, Any]
    created_at: datetime
