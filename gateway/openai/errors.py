"""OpenAI's error shape for every error of the hub."""

import re

from msgspec import Struct

from bus import Code, RpcError
from gateway.http.errors import status_of
from gateway.http.problem import Dialect
from gateway.openai.responses import ErrorBody, ErrorDetail

_CODE_OF_REASON = {
    "UNAUTHENTICATED": "invalid_api_key",
    "RATE_LIMITED": "rate_limit_exceeded",
    "TOO_MANY_CALLS": "rate_limit_exceeded",
    "TOO_MANY_CONNECTIONS": "rate_limit_exceeded",
    "QUEUE_FULL": "rate_limit_exceeded",
    "INTERNAL": "internal_error",
}
_PARAM_OF_REASON = {
    "MODEL_NOT_FOUND": "model",
    "ADAPTER_NOT_FOUND": "adapter",
    "CONTEXT_LENGTH_EXCEEDED": "messages",
    "INVALID_SCHEMA": "response_format",
}
_PARAM_OF_FIELD = {
    "choices": "n",
    "inputs": "input",
    "template_variables": "chat_template_kwargs",
    "response_format.json_schema.schema": "response_format.json_schema.schema",
}

_TOOL_FIELD = re.compile(r"^(tools\[\d+\])\.(name|description|parameters|strict)")
"""What the contract has in a tool itself."""

_INPUT_FIELD = re.compile(r"^(token_)?inputs\[")
"""What the contract calls the texts of an embedding, and the ids in their place."""


def error_body(error: RpcError) -> ErrorBody:
    """The error as a body. `code` is the reason in lower case, or OpenAI's own name for it."""
    param = _param_of(error)
    return ErrorBody(
        ErrorDetail(
            message=error.message.replace(error.field, param) if error.field and param else error.message,
            type=_type_of(error),
            param=param,
            code=_CODE_OF_REASON.get(error.reason, error.reason.lower()),
            reason=error.reason,
            reference=error.reference,
            details=error.metadata or None,
        )
    )


def _type_of(error: RpcError) -> str:
    status = status_of(error)
    if status == 401:
        return "authentication_error"
    if status == 403:
        return "permission_error"
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"


def _param_of(error: RpcError) -> str | None:
    field = _TOOL_FIELD.sub(r"\1.function.\2", error.field.removeprefix("sampling.").replace(".parts[", ".content["))
    field = _INPUT_FIELD.sub("input[", field)
    return _PARAM_OF_FIELD.get(field, field) or _PARAM_OF_REASON.get(error.reason)


class OpenAI:
    """The dialect of everything under /v1."""

    name = "OpenAI"
    media_type = "application/json"
    error_type: type[Struct] = ErrorBody

    def error(self, error: RpcError) -> ErrorBody:
        """The body."""
        return error_body(error)


OPENAI: Dialect = OpenAI()


def unsupported(param: str, message: str) -> RpcError:
    """The request asks for something that would change the answer and that the hub does not have."""
    return RpcError(Code.INVALID_ARGUMENT, message, reason="UNSUPPORTED_PARAMETER", field=param)
