"""No body, however strange, gets anything but a request or a typed refusal."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import Code, RpcError
from gateway.http.body import JsonBody
from gateway.openai import completions
from gateway.openai.chat_request import generate_request
from gateway.openai.schema import ChatRequest, CompletionRequest
from troupe.chat.v1 import CompleteRequest, GenerateRequest

CHAT, COMPLETION = JsonBody(ChatRequest), JsonBody(CompletionRequest)

_leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
_json = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
_words = st.sampled_from(
    ["text", "user", "tool", "assistant", "function", "auto", "json_schema", "json_object", "blob:x"]
)
_tool = st.fixed_dictionaries(
    {"type": st.just("function"), "function": st.fixed_dictionaries({"name": _words, "parameters": _json})}
)
_part = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": st.text()}),
    st.fixed_dictionaries(
        {"type": st.just("image_url"), "image_url": st.fixed_dictionaries({"url": _words | st.text()})}
    ),
    st.fixed_dictionaries({"type": st.just("file"), "file": st.fixed_dictionaries({"file_id": st.text()})}),
    _json,
)
_content = st.text() | st.lists(_part, max_size=3) | _json
_message = st.fixed_dictionaries({"role": st.sampled_from(["user", "system", "tool", "x"]), "content": _content})
_likely: dict[str, st.SearchStrategy[Any]] = {
    "messages": st.lists(_message, max_size=3),
    "tools": st.lists(_tool, max_size=2),
    "tool_choice": _words,
    "response_format": st.fixed_dictionaries(
        {"type": _words, "json_schema": st.fixed_dictionaries({"name": _words, "schema": _json})}
    ),
    "logit_bias": st.dictionaries(st.text("0123456789-", max_size=25), st.floats(-200, 200), max_size=3),
    "seed": st.integers(),
    "stop": st.text() | st.lists(st.text(), max_size=3),
    "temperature": st.floats(0, 2),
    "top_p": st.floats(0, 1),
    "top_k": st.integers(0, 2**40),
    "repetition_penalty": st.floats(0, 3),
    "chat_template_kwargs": st.dictionaries(st.text(max_size=5), _json, max_size=3),
    "prompt": st.text() | st.lists(st.text(), max_size=3),
}


_plain = [{"role": "user", "content": "Hi"}]


def requests(kind: type[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A plain request of which at most three fields are strange."""
    names = sorted(set(kind.__struct_fields__) - {"model"})
    strange = {name: _likely.get(name, _json) | _json for name in names}
    chosen = st.lists(st.sampled_from(names), max_size=3, unique=True)
    changes = chosen.flatmap(lambda some: st.fixed_dictionaries({name: strange[name] for name in some}))
    return changes.map(lambda changed: {"model": "m", "messages": _plain, "prompt": "Hi", **changed})


@given(requests(ChatRequest))
def test_a_chat_request_is_understood_or_refused(value: dict[str, Any]) -> None:
    try:
        found = generate_request(CHAT.decode(msgspec.json.encode(value)))
    except RpcError as error:
        assert error.code is Code.INVALID_ARGUMENT
    else:
        assert GenerateRequest.FromString(found.SerializeToString()) == found


@given(requests(CompletionRequest))
def test_a_completion_request_is_understood_or_refused(value: dict[str, Any]) -> None:
    try:
        found = completions.complete_requests(COMPLETION.decode(msgspec.json.encode(value)))
    except RpcError as error:
        assert error.code is Code.INVALID_ARGUMENT
    else:
        assert all(CompleteRequest.FromString(one.SerializeToString()) == one for one in found)


@given(st.binary(max_size=200))
def test_bytes_are_a_request_or_refused(data: bytes) -> None:
    with pytest.raises(RpcError) as caught:
        CHAT.decode(data)
    assert caught.value.code is Code.INVALID_ARGUMENT
