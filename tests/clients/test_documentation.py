"""The examples of docs/python-client.md run as they stand, apart from the address of the hub."""

import ast
import inspect
import re
from collections.abc import AsyncIterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest
from structlog.testing import capture_logs

from troupe.chat.v1 import Delta, GenerateRequest, GenerateResponse, Usage
from troupe.model.v1 import ListModelsRequest, ListModelsResponse, Model
from troupe_client import Hub

PAGE = Path(__file__).parents[2] / "docs" / "python-client.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


async def answer(request: GenerateRequest) -> AsyncIterator[GenerateResponse]:
    yield GenerateResponse(delta=Delta(text="A lease "))
    yield GenerateResponse(delta=Delta(text="is held."))
    yield GenerateResponse(usage=Usage(completion_tokens=5))


async def models(request: ListModelsRequest) -> AsyncIterator[ListModelsResponse]:
    yield ListModelsResponse(models=[Model(name="troupe-tiny")])


async def run(example: str, names: dict[str, Any]) -> None:
    code: CodeType = compile(example, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    outcome = FunctionType(code, names)()
    if inspect.isawaitable(outcome):
        await outcome


ON_CHAT = [text for text in EXAMPLES if not any(word in text for word in ("converse", "blobs", "repeat"))]


@pytest.mark.parametrize("example", ON_CHAT)
async def test_examples_on_chat_run(door: Any, wire: Any, capsys: pytest.CaptureFixture[str], example: str) -> None:
    door.answers["troupe.chat.v1.ChatService/Generate"] = answer
    door.answers["troupe.model.v1.ModelService/ListModels"] = models
    await run(example.replace("connect()", f"connect('127.0.0.1:{wire.port}')"), {})
    assert door.seen
    assert "aclosing" in example or "A lease is held." in capsys.readouterr().out


@pytest.mark.parametrize("example", [example for example in EXAMPLES if "converse" in example])
async def test_examples_on_streams_run(served: Hub, capsys: pytest.CaptureFixture[str], example: str) -> None:
    with capture_logs():  # the door is in this process, too, and tells of the call
        await run(example.replace("connect()", f"connect('{served.channel.target}')"), {})
    assert capsys.readouterr().out == "0 one\n1 hai\n2 three\n"


@pytest.mark.parametrize("example", [example for example in EXAMPLES if "repeat" in example])
async def test_examples_on_what_travels_beside_run(
    served: Hub, capsys: pytest.CaptureFixture[str], example: str
) -> None:
    with capture_logs():
        await run(example.replace("connect()", f"connect('{served.channel.target}')"), {})
    assert capsys.readouterr().out == "2 {} {}\nNOTHING_HERE {}\n"


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 8
