"""The OpenAPI document, made from the table of routes: from the types that the routes really read and write."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from bus import Code, RpcError
from gateway.http.body import FormBody, JsonBody
from gateway.http.routes import Answer, Route

Json = dict[str, Any]

_PATH_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")

ERRORS: dict[int, tuple[str, RpcError]] = {
    400: (
        "The request is at fault; the error says where.",
        RpcError(
            Code.INVALID_ARGUMENT,
            "temperature: Expected `float` <= 2.0.",
            field="temperature",
            reference="815f6a7348cc",
        ),
    ),
    401: (
        "No API key, or one that is not known.",
        RpcError(
            Code.UNAUTHENTICATED,
            "This API key is not known to the hub; see [auth] in its settings.",
            reason="UNAUTHENTICATED",
            reference="0d0f5a3f6f1c",
        ),
    ),
    403: (
        "The key, the host name or the web page may not do this.",
        RpcError(
            Code.PERMISSION_DENIED,
            "The key 'laptop' may not use 'models'; add the scope to its entry in [auth].",
            reason="PERMISSION_DENIED",
            reference="5a0c3c1f7d2e",
        ),
    ),
    404: (
        "There is no such thing; the message names the nearest ones.",
        RpcError(
            Code.NOT_FOUND,
            "There is no model 'troupe-tny'. Did you mean troupe-tiny?",
            reason="MODEL_NOT_FOUND",
            field="model",
            reference="2b8e1a90c4d7",
        ),
    ),
    408: (
        "The body came too slowly.",
        RpcError(
            Code.DEADLINE_EXCEEDED,
            "The request's body did not come within 60 seconds.",
            reason="REQUEST_TIMEOUT",
            reference="77c05b1e9a42",
        ),
    ),
    413: (
        "The body is too large.",
        RpcError(
            Code.RESOURCE_EXHAUSTED,
            "The request's body is over 8,388,608 bytes, the limit that [limits] max_body_bytes sets.",
            reason="MESSAGE_TOO_LARGE",
            reference="9f2d6a5b8c31",
        ),
    ),
    415: (
        "The body is encoded.",
        RpcError(
            Code.INVALID_ARGUMENT,
            "The request's body is encoded with 'gzip'; send it as it is, without Content-Encoding.",
            reason="UNSUPPORTED_ENCODING",
            reference="c41d7e60ab95",
        ),
    ),
    416: (
        "Nothing of the range is there.",
        RpcError(
            Code.OUT_OF_RANGE,
            "The range 'bytes=900-' is outside of the 640 bytes that there are.",
            reason="RANGE_NOT_SATISFIABLE",
            reference="e81b22c70f4d",
            metadata={"size": "640"},
        ),
    ),
    429: (
        "A limit is reached; Retry-After says when to come back.",
        RpcError(
            Code.RESOURCE_EXHAUSTED,
            "512 calls are running, as many as [limits] max_calls allows; try again soon.",
            reason="TOO_MANY_CALLS",
            reference="3c9e0f5512ba",
        ),
    ),
    500: (
        "Something broke; `reference` names it in the logs.",
        RpcError(
            Code.INTERNAL,
            "The gateway made a mistake; the reference names it in the logs.",
            reason="INTERNAL",
            reference="a6b4f0d3e872",
        ),
    ),
    503: (
        "What answers is not there now; Retry-After says when to come back.",
        RpcError(
            Code.UNAVAILABLE,
            "The process that answered was lost. Repeat the call; it is started again by itself.",
            reason="PEER_LOST",
            reference="6de1903bc52f",
        ),
    ),
    504: (
        "The time that the call had is over.",
        RpcError(
            Code.DEADLINE_EXCEEDED,
            "The call did not end within its time.",
            reason="DEADLINE_EXCEEDED",
            reference="f05a7d1c2e96",
        ),
    ),
    507: (
        "There is no room: something has to be deleted first, or the model has to be a smaller one.",
        RpcError(
            Code.RESOURCE_EXHAUSTED,
            "The blob store is full: the disk has 17,760,255 bytes left; delete something.",
            reason="STORE_FULL",
            reference="b7206fe4d913",
        ),
    ),
}
"""What each status means, with an example."""

_KEYED = (401, 403)
_BARE = (204, 304)
"""Statuses of answers that have no body."""

_WITH_BODY = (400, 408, 413, 415)
_ADMITTED = (429, 500, 503, 504)


def openapi(routes: Sequence[Route], version: str) -> Json:
    """The document, OpenAPI 3.1. version: of Troupe."""
    shown = [route for route in routes if route.documented]
    kinds = list(dict.fromkeys(kind for route in shown for kind in _kinds(route)))
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    found = dict(zip(kinds, schemas, strict=True))
    paths: Json = {}
    for route in shown:
        path = _PATH_PARAMETER.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.verb.lower()] = _operation(route, found)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Troupe",
            "version": version,
            "description": "The hub over HTTP: OpenAI's interface, and how the hub is.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"header": []}, {}],
        "tags": [{"name": name} for name in dict.fromkeys(route.dialect.name for route in shown)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "tr-…"},
                "header": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def _kinds(route: Route) -> list[Any]:
    body = [route.body.kind] if isinstance(route.body, JsonBody) else []
    return [*body, *(answer.kind for answer in route.answers if answer.kind is not None), route.dialect.error_type]


def _operation(route: Route, schemas: dict[Any, Any]) -> Json:
    responses: Json = {}
    for answer in route.answers:
        told = responses.setdefault(str(answer.status), {"description": answer.description, "content": {}})
        if answer.status in _BARE:
            told.pop("content", None)
        else:
            told["content"][answer.media_type] = _content(answer, schemas)
    for status in errors_of(route):
        responses.setdefault(str(status), _error(route, status, schemas))
    operation: Json = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.dialect.name],
        "responses": responses,
    }
    if route.parameters:
        operation["parameters"] = [
            {"name": given.name, "in": given.place, "description": given.description, "schema": {"type": "string"}}
            | ({"required": True} if given.place == "path" else {})
            | ({"example": given.example} if given.example else {})
            for given in route.parameters
        ]
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": {route.body.media_type: _request(route, schemas)}}
    if not route.key:
        operation["security"] = []
    return operation


def errors_of(route: Route) -> list[int]:
    """The statuses of the errors that a route may give."""
    found = {*route.errors, *(_KEYED if route.key else ()), *(_ADMITTED if route.admitted else ())}
    if route.body is not None:
        found.update(_WITH_BODY)
    return sorted(found - {answer.status for answer in route.answers})


def _content(answer: Answer, schemas: dict[Any, Any]) -> Json:
    text = answer.media_type.startswith("text/")
    bare = {"type": "string"} if text else {"type": "string", "format": "binary"}
    found: Json = {"schema": schemas[answer.kind] if answer.kind is not None else bare}
    if answer.example is not None:
        found["example"] = msgspec.to_builtins(answer.example)
    return found


def _request(route: Route, schemas: dict[Any, Any]) -> Json:
    body = route.body
    if isinstance(body, JsonBody):
        examples = {name: {"value": value} for name, value in route.examples.items()}
        return {"schema": schemas[body.kind]} | ({"examples": examples} if examples else {})
    if isinstance(body, FormBody):
        files = {name: {"type": "string", "format": "binary", "description": text} for name, text in body.files.items()}
        fields = {name: {"type": "string", "description": text} for name, text in body.fields.items()}
        return {"schema": {"type": "object", "properties": files | fields, "required": list(files)}}
    return {"schema": {"type": "string", "format": "binary"}}


def _error(route: Route, status: int, schemas: dict[Any, Any]) -> Json:
    text, example = ERRORS[status]
    shown = msgspec.to_builtins(route.dialect.error(example))
    return {
        "description": text,
        "content": {route.dialect.media_type: {"schema": schemas[route.dialect.error_type], "example": shown}},
    }
