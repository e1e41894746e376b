"""Request bodies and query strings: read within limits, checked by their model, refused with a readable sentence."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import ValidationError

from stackyn_server import config
from stackyn_server.api.wire.base import Query, RequestBody
from stackyn_server.errors import InvalidRequest

B = TypeVar("B", bound=RequestBody)
Q = TypeVar("Q", bound=Query)

# Our words for pydantic's error types; {limit} comes from the error's own context.
_PROBLEMS = {
    "missing": "is missing",
    "string_type": "must be text",
    "string_too_long": "is too long",
    "string_too_short": "is too short",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
}


class BodyTooLarge(InvalidRequest):
    code, status = "BODY_TOO_LARGE", 413


class NotJson(InvalidRequest):
    code = "INVALID_JSON"


async def read(request: web.Request, settings: config.ServerSettings) -> bytes:
    """Return the whole body. Raises `BodyTooLarge`, and `InvalidRequest` for one that doesn't arrive in time."""
    limit = settings.body_limit_bytes
    too_large = BodyTooLarge(f"The request body may have up to {limit} bytes.")
    if (request.content_length or 0) > limit:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(settings.body_seconds):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > limit:
                    raise too_large
    except TimeoutError as error:
        raise InvalidRequest("The request body did not arrive in time.", hint="Send it again.") from error
    except (web.RequestPayloadError, HttpProcessingError) as error:
        raise NotJson("The request body is cut off or wrongly encoded.") from error
    return bytes(body)


def parse(model: type[B], body: bytes) -> B:
    """Return the body as its model. Raises `NotJson` and `InvalidRequest` (with `details.fields`)."""
    if not body.strip():
        raise NotJson("The request needs a body in JSON.")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        if problems[0]["type"] == "json_invalid":
            raise NotJson("The request body is not JSON that this server can read.") from error
        raise _refusal(problems) from error


def parse_query(model: type[Q], request: web.Request) -> Q:
    try:
        return model.model_validate(dict(request.query))
    except ValidationError as error:
        raise _refusal(error.errors(include_url=False, include_input=False)) from error


def _refusal(problems: list[Any]) -> InvalidRequest:
    first = problems[0]
    # Positions in lists stay out of the sentence: a published client acts on the digits 401 in it.
    name = ".".join(part for part in first["loc"] if isinstance(part, str))
    if not name:
        return InvalidRequest("The request body must be a JSON object.")
    fields = [
        {"field": ".".join(map(str, problem["loc"])), "problem": _problem(problem)} for problem in problems
    ]
    return InvalidRequest(f"{name} {_problem(first)}.", details={"fields": fields})


def _problem(problem: Any) -> str:
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    pattern = _PROBLEMS.get(problem["type"], "has a value that can't be used")
    return pattern.format(**problem.get("ctx", {}))
