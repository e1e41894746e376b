"""The OpenAPI 3.1 document, derived from the endpoint table. Run as a module it prints `contracts/openapi.yaml`."""

from __future__ import annotations

import inspect
import json
import sys
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from stackyn_server.api.binding import Binding, bind
from stackyn_server.api.endpoint import Access, Endpoint, Media, Rate
from stackyn_server.api.endpoints import ENDPOINTS
from stackyn_server.api.sentences import about_status
from stackyn_server.api.wire.base import Error
from stackyn_server.domain.ids import LARGEST_ID, UserId

_REFERENCE = "#/components/schemas/{model}"
_BEARER = "bearer"
# What a success that is no JSON has in its body; of a stream, each event.
_FORMS: dict[Media, dict[str, Any]] = {
    Media.TEXT: {"type": "string"},
    Media.STREAM: {
        "type": "object",
        "description": "One server-sent event.",
        "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
        "required": ["data"],
    },
}


def document(endpoints: tuple[Endpoint, ...] = ENDPOINTS) -> dict[str, Any]:
    """Return the whole description as plain data."""
    bindings = {endpoint.name: bind(endpoint) for endpoint in endpoints}
    schemas, definitions = _schemas(endpoints, bindings)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        operation = _operation(endpoint, bindings[endpoint.name], schemas)
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Stackyn server",
            "version": "1",
            "description": "Git URL in, live URL out. Every error has one readable sentence and a stable code.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": dict(sorted(definitions.items())),
            "responses": _failures(endpoints, bindings, schemas),
            "securitySchemes": {_BEARER: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def statuses(endpoint: Endpoint, binding: Binding) -> list[int]:
    """Return every status that the endpoint may answer with, its success first."""
    expected = set(endpoint.errors) | {500, 503}
    if endpoint.access is not Access.PUBLIC:
        expected |= {401, 403}
    if binding.path:
        expected.add(404)
    if binding.body or binding.raw_body:
        expected |= {400, 413}
    if binding.query:
        expected.add(400)
    if endpoint.is_billing_gated:
        expected.add(402)
    if endpoint.rate_class is not Rate.FREE:
        expected.add(429)
    return [*successes(endpoint), *sorted(expected)]


def successes(endpoint: Endpoint) -> list[int]:
    return [endpoint.status] if endpoint.other_status is None else [endpoint.status, endpoint.other_status]


def _schemas(
    endpoints: tuple[Endpoint, ...], bindings: dict[str, Binding]
) -> tuple[dict[Any, Any], dict[str, Any]]:
    """Return the schema of each model by (key, mode), and the named definitions that they refer to."""
    inputs: dict[Any, Any] = {(Error, "serialization"): TypeAdapter(Error)}
    for endpoint in endpoints:
        binding = bindings[endpoint.name]
        for model in (binding.body, binding.query):
            if model:
                inputs[(model[1], "validation")] = TypeAdapter(model[1])
        if endpoint.media is Media.JSON:
            inputs[(binding.response, "serialization")] = TypeAdapter(binding.response)
    generator = GenerateJsonSchema(ref_template=_REFERENCE)
    schemas, definitions = generator.generate_definitions(
        [(key, key[1], adapter.core_schema) for key, adapter in inputs.items()]
    )
    named: dict[str, Any] = {str(name): schema for name, schema in definitions.items()}
    return {key: schemas[key, key[1]] for key in inputs}, named


def _operation(endpoint: Endpoint, binding: Binding, schemas: dict[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": inspect.getdoc(endpoint.handler) or "",
        "tags": [endpoint.handler.__module__.rpartition(".")[2]],
        "security": [] if endpoint.access is Access.PUBLIC else [{_BEARER: []}],
        "x-access": endpoint.access.value,
        "x-rate-class": endpoint.rate_class.value,
    }
    if endpoint.scope is not None:
        operation["x-scope"] = endpoint.scope.value
    headers = [
        {"name": name, "in": "header", "required": False, "schema": {"type": "string"}}
        for name in endpoint.headers
    ]
    if parameters := [*_path_parameters(binding), *_query_parameters(binding, schemas), *headers]:
        operation["parameters"] = parameters
    if binding.body:
        schema = schemas[binding.body[1], "validation"]
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if binding.raw_body:
        content = {"application/json": {"schema": {"type": "object"}}}
        operation["requestBody"] = {"required": True, "content": content}
    operation["responses"] = _responses(endpoint, binding, schemas)
    return operation


def _path_parameters(binding: Binding) -> list[dict[str, Any]]:
    def schema(hint: Any) -> dict[str, Any]:
        if hint is str:
            return {"type": "string", "minLength": 1}
        if hint is UserId:
            return {"type": "string", "format": "uuid"}
        return {"type": "integer", "minimum": 1, "maximum": LARGEST_ID}

    return [
        {"name": name, "in": "path", "required": True, "schema": schema(hint)}
        for name, hint in binding.path_types.items()
    ]


def _query_parameters(binding: Binding, schemas: dict[Any, Any]) -> list[dict[str, Any]]:
    if not binding.query:
        return []
    model = binding.query[1]
    return [
        {
            "name": name,
            "in": "query",
            "required": field.is_required(),
            "schema": TypeAdapter(field.rebuild_annotation()).json_schema(),
        }
        for name, field in model.model_fields.items()
    ]


def _failures(
    endpoints: tuple[Endpoint, ...], bindings: dict[str, Binding], schemas: dict[Any, Any]
) -> dict[str, Any]:
    content = {"application/json": {"schema": schemas[Error, "serialization"]}}
    failing = {
        status
        for endpoint in endpoints
        for status in statuses(endpoint, bindings[endpoint.name])
        if status not in successes(endpoint)
    }
    return {
        f"failed_{status}": {"description": about_status(status), "content": content}
        for status in sorted(failing)
    }


def _responses(endpoint: Endpoint, binding: Binding, schemas: dict[Any, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status in statuses(endpoint, binding):
        if status not in successes(endpoint):
            responses[str(status)] = {"$ref": f"#/components/responses/failed_{status}"}
            continue
        success: dict[str, Any] = {"description": "Done."}
        if endpoint.media is Media.JSON:
            success["content"] = {Media.JSON.value: {"schema": schemas[binding.response, "serialization"]}}
        elif forms := [form for form in (endpoint.media, endpoint.other_media) if form in _FORMS]:
            success["content"] = {form.value: {"schema": _FORMS[form]} for form in forms}
        responses[str(status)] = success
    return responses


def as_yaml(value: Any, indent: int = 0) -> str:
    """Write plain data as block-style YAML 1.2, every scalar in its JSON form, which YAML shares."""
    margin = "  " * indent
    if isinstance(value, dict) and value:
        return "".join(
            f"{margin}{json.dumps(key) if not str(key).isidentifier() else key}:{_inner(inner, indent)}"
            for key, inner in value.items()
        )
    if isinstance(value, list) and value:
        return "".join(f"{margin}-{_inner(inner, indent)}" for inner in value)
    return f"{margin}{json.dumps(value, ensure_ascii=False)}\n"


def _inner(value: Any, indent: int) -> str:
    if isinstance(value, dict | list) and value:
        return f"\n{as_yaml(value, indent + 1)}"
    return f" {json.dumps(value, ensure_ascii=False)}\n"


if __name__ == "__main__":
    sys.stdout.write(as_yaml(document()))
