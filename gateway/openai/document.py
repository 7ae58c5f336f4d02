"""The OpenAPI document, made from the types that the routes really read and write."""

from typing import Any

import msgspec

from gateway.health import Health, Readiness
from gateway.openai.responses import (
    ChatCompletion,
    ChatCompletionChunk,
    Completion,
    EmbeddingList,
    ErrorBody,
    ModelList,
    ModelOut,
)
from gateway.openai.schema import ChatRequest, CompletionRequest, EmbeddingRequest

Json = dict[str, Any]

_TYPES: tuple[Any, ...] = (
    ChatRequest,
    ChatCompletion,
    ChatCompletionChunk,
    CompletionRequest,
    Completion,
    EmbeddingRequest,
    EmbeddingList,
    ModelList,
    ModelOut,
    ErrorBody,
    Health,
    Readiness,
)
_ERRORS = {
    "400": "The request is at fault; `param` says where.",
    "401": "No API key, or an unknown one.",
    "403": "The key, the host name or the web page may not do this.",
    "404": "There is no such model; the message names the nearest ones.",
    "413": "The body is too large.",
    "429": "A limit is reached; Retry-After says when to come back.",
    "500": "Something broke; `reference` names it in the logs.",
    "503": "What answers is not there now; Retry-After says when to come back.",
}


def openapi(version: str) -> Json:
    """The document, OpenAPI 3.1. version: of Troupe."""
    schemas, components = msgspec.json.schema_components(_TYPES, ref_template="#/components/schemas/{name}")
    by_type = dict(zip((kind.__name__ for kind in _TYPES), schemas, strict=True))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Troupe",
            "version": version,
            "description": "OpenAI's HTTP interface to the hub, and how the hub is.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}, {}],
        "paths": _paths(by_type),
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "tr-…"}},
        },
    }


def _paths(types: Json) -> Json:
    chat = {"application/json": types["ChatCompletion"], "text/event-stream": types["ChatCompletionChunk"]}
    text = {"application/json": types["Completion"], "text/event-stream": types["Completion"]}
    model = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        "/v1/chat/completions": {
            "post": _operation("createChatCompletion", "Answer a conversation.", types, "ChatRequest", chat)
        },
        "/v1/completions": {
            "post": _operation("createCompletion", "Continue a text.", types, "CompletionRequest", text)
        },
        "/v1/embeddings": {
            "post": _operation(
                "createEmbedding", "Texts as vectors.", types, "EmbeddingRequest", _json(types["EmbeddingList"])
            )
        },
        "/v1/models": {"get": _operation("listModels", "Every model.", types, None, _json(types["ModelList"]))},
        "/v1/models/{model}": {
            "get": _operation("retrieveModel", "One model.", types, None, _json(types["ModelOut"]))
            | {"parameters": [model]}
        },
        "/healthz": {"get": _probe("health", "The process runs.", types["Health"])},
        "/readyz": {
            "get": _probe(
                "readiness", "Everything that is needed is there.", types["Readiness"], unready=types["Readiness"]
            )
        },
        "/metrics": {
            "get": {
                "operationId": "metrics",
                "summary": "Metrics of all processes in Prometheus' text form.",
                "responses": {
                    "200": {"description": "Metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}}
                },
            }
        },
    }


def _json(schema: Json) -> Json:
    return {"application/json": schema}


def _operation(name: str, summary: str, types: Json, request: str | None, answers: Json) -> Json:
    errors = {
        status: {"description": text, "content": {"application/json": {"schema": types["ErrorBody"]}}}
        for status, text in _ERRORS.items()
    }
    content = {media_type: {"schema": schema} for media_type, schema in answers.items()}
    operation: Json = {
        "operationId": name,
        "summary": summary,
        "responses": {"200": {"description": "The answer.", "content": content}} | errors,
    }
    if request is not None:
        body = {"application/json": {"schema": types[request]}}
        operation["requestBody"] = {"required": True, "content": body}
    return operation


def _probe(name: str, summary: str, schema: Json, unready: Json | None = None) -> Json:
    responses: Json = {"200": {"description": "Yes.", "content": {"application/json": {"schema": schema}}}}
    if unready is not None:
        responses["503"] = {"description": "Not yet.", "content": {"application/json": {"schema": unready}}}
    return {"operationId": name, "summary": summary, "responses": responses}
