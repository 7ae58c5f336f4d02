"""Requests that work and answers to them, for the OpenAPI document."""

from typing import Any

MODEL_NAME = "troupe-tiny"
_CREATED = 1_795_500_000
_USAGE: dict[str, Any] = {
    "prompt_tokens": 19,
    "completion_tokens": 14,
    "total_tokens": 33,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 0,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}
_QUESTION = [{"role": "user", "content": "What is a lease?"}]
_TOOL = {
    "type": "function",
    "function": {
        "name": "get_time",
        "description": "The time in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
_PORT = {"type": "object", "properties": {"port": {"type": "integer"}}, "required": ["port"]}

CHAT_REQUESTS: dict[str, Any] = {
    "question": {"model": MODEL_NAME, "messages": _QUESTION, "max_tokens": 64},
    "stream": {
        "model": MODEL_NAME,
        "messages": _QUESTION,
        "stream": True,
        "stream_options": {"include_usage": True},
    },
    "tool": {
        "model": MODEL_NAME,
        "messages": [{"role": "user", "content": "What time is it in Hanoi?"}],
        "tools": [_TOOL],
        "temperature": 0,
    },
    "schema": {
        "model": MODEL_NAME,
        "messages": [{"role": "user", "content": "Which port does gRPC use?"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "port", "schema": _PORT}},
    },
}
CHAT_COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-9f86d081884c7d659a2feaa0",
    "created": _CREATED,
    "model": MODEL_NAME,
    "choices": [
        {
            "index": 0,
            "message": {
                "content": "A lease is the right to use memory of a device for as long as a model is loaded.",
                "role": "assistant",
                "refusal": None,
            },
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": _USAGE,
    "system_fingerprint": "fp_2f1a5b7c90",
    "object": "chat.completion",
    "service_tier": "default",
}
CHAT_EVENTS = (
    'data: {"id":"chatcmpl-9f86d081884c7d659a2feaa0","object":"chat.completion.chunk","created":1795500000,'
    '"model":"troupe-tiny","service_tier":"default","system_fingerprint":"fp_2f1a5b7c90","choices":[{"index":0,'
    '"delta":{"content":"A lease"},"logprobs":null,"finish_reason":null}]}\n\ndata: [DONE]\n\n'
)
COMPLETION_REQUESTS: dict[str, Any] = {
    "text": {"model": MODEL_NAME, "prompt": "Troupe is", "max_tokens": 16},
}
COMPLETION: dict[str, Any] = {
    "id": "cmpl-4e07408562bedb8b60ce05c1",
    "created": _CREATED,
    "model": MODEL_NAME,
    "choices": [{"index": 0, "text": " a hub for local models.", "logprobs": None, "finish_reason": "stop"}],
    "system_fingerprint": "fp_2f1a5b7c90",
    "object": "text_completion",
    "usage": _USAGE,
}
COMPLETION_EVENTS = (
    'data: {"id":"cmpl-4e07408562bedb8b60ce05c1","created":1795500000,"model":"troupe-tiny","choices":[{"index":0,'
    '"text":" a hub","logprobs":null,"finish_reason":null}],"system_fingerprint":"fp_2f1a5b7c90",'
    '"object":"text_completion"}\n\ndata: [DONE]\n\n'
)
EMBEDDING_REQUESTS: dict[str, Any] = {
    "text": {"model": MODEL_NAME, "input": "A lease."},
    "texts": {"model": MODEL_NAME, "input": ["A lease.", "A stage."], "encoding_format": "base64"},
}
EMBEDDINGS: dict[str, Any] = {
    "data": [{"index": 0, "embedding": [0.0132, -0.0471, 0.0809], "object": "embedding"}],
    "model": MODEL_NAME,
    "usage": {"prompt_tokens": 4, "total_tokens": 4},
    "object": "list",
}
MODEL: dict[str, Any] = {
    "id": MODEL_NAME,
    "created": _CREATED,
    "owned_by": "troupe",
    "object": "model",
    "context_length": 2048,
    "default": True,
}
MODELS: dict[str, Any] = {"data": [MODEL], "object": "list"}
