"""In a pipe, and where the hub is."""

import argparse
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bus import Code, RpcError, invalid
from cli.chat import add_arguments
from cli.connection import target_of
from gateway.settings import load
from troupe.chat.v1 import FinishReason
from troupe.model.v1 import ListModelsRequest, ListModelsResponse, Model
from troupe.rpc.v1 import Progress
from troupe_client import text_of

LIST_MODELS = "troupe.model.v1.ModelService/ListModels"


async def test_a_pipe_gets_the_answer_and_nothing_else(model: Any, piped: Any) -> None:
    model.tell(Progress(state=Progress.STATE_QUEUED, position=1))
    model.say("**Xin** ", "chào\x1b[31m!")
    model.end()
    assert await piped(given="Chào bạn".encode()) == (0, "**Xin** chào[31m!\n", "")
    assert model.heard == "Chào bạn"


async def test_a_prompt_and_what_is_piped_in_are_asked_together(model: Any, piped: Any) -> None:
    model.say("ok\n")
    model.end()
    options = ("--model", "quentin", "--system", "Be brief.", "--temperature", "0", "--max-tokens", "5")
    outcome = await piped(*options, "Sum", "up:", given=b"a long text\n")
    assert outcome == (0, "ok\n", "")
    request = model.requests[0]
    assert (request.model, request.sampling.temperature, request.max_tokens) == ("quentin", 0, 5)
    assert [text_of(message) for message in request.messages] == ["Be brief.", "Sum up:\n\na long text"]


async def test_the_hubs_default_model_is_asked_where_none_is_named(model: Any, door: Any, piped: Any) -> None:
    async def list_models(request: ListModelsRequest) -> AsyncIterator[ListModelsResponse]:
        yield ListModelsResponse(models=[Model(name="other"), Model(name="quentin", default=True)])

    door.answers[LIST_MODELS] = list_models
    model.say("ok")
    model.end()
    assert (await piped("hello")).code == 0
    assert model.requests[0].model == "quentin"


async def test_where_models_cannot_be_listed_whichever_is_the_default_is_asked(
    model: Any, door: Any, piped: Any
) -> None:
    del door.answers[LIST_MODELS]
    model.say("ok")
    model.end()
    assert (await piped("hello")).code == 0
    assert model.requests[0].model == "default"


async def test_an_error_names_the_option_and_not_the_requests_field(model: Any, piped: Any) -> None:
    model.fail(invalid("sampling.temperature is 5; it must be 0 to 2.", "sampling.temperature"))
    outcome = await piped("-t", "5", "hello")
    assert "--temperature is 5; it must be 0 to 2." in outcome.err
    assert "troupe logs" not in outcome.err  # the sentence says all


@pytest.mark.parametrize("number", ["-1", "0", "x", "3000000000", "1" * 5000])
async def test_a_wrong_number_of_tokens_is_told_before_anything_is_asked(piped: Any, number: str) -> None:
    outcome = await piped("--max-tokens", number, "hello")
    assert outcome.code == 2
    assert "give 1 or more" in outcome.err


async def test_an_error_is_said_on_the_error_stream_with_exit_code_1(model: Any, piped: Any) -> None:
    model.fail(RpcError(Code.NOT_FOUND, "There is no model 'x'.", reason="MODEL_NOT_FOUND"))
    outcome = await piped("hello")
    assert (outcome.code, outcome.out) == (1, "")
    assert "MODEL_NOT_FOUND" in outcome.err
    assert "There is no model 'x'." in outcome.err


async def test_an_answer_that_breaks_off_is_no_success(model: Any, piped: Any) -> None:
    model.say("Half of")
    model.fail(RpcError(Code.UNAVAILABLE, "The process has ended.", reason="PEER_LOST"))
    outcome = await piped("hello")
    assert (outcome.code, outcome.out) == (1, "Half of\n")
    assert "PEER_LOST" in outcome.err
    assert re.search(r"`troupe logs [0-9a-f]{12}`", outcome.err)


async def test_an_answer_at_its_token_limit_says_so_beside_the_answer(model: Any, piped: Any) -> None:
    model.say("Half of")
    model.end(FinishReason.FINISH_REASON_LENGTH)
    outcome = await piped("hello")
    assert (outcome.code, outcome.out) == (0, "Half of\n")
    assert "token limit" in outcome.err


async def test_without_a_hub_it_is_told_how_to_start_one(piped: Any, unused_tcp_port: int) -> None:
    outcome = await piped("hello", port=unused_tcp_port)
    assert (outcome.code, outcome.out) == (2, "")
    assert f"127.0.0.1:{unused_tcp_port}" in outcome.err
    assert "troupe up" in outcome.err
    outcome = await piped("--lang", "vi", "hello", port=unused_tcp_port)
    assert "Không có hub Troupe nào trả lời" in outcome.err


async def test_nothing_to_ask_is_a_mistake_of_use(piped: Any) -> None:
    outcome = await piped(given=b" \n")
    assert (outcome.code, outcome.out) == (2, "")
    assert "nothing to ask" in outcome.err


async def test_an_input_without_end_is_refused(piped: Any) -> None:
    outcome = await piped(given=b"x" * (1024 * 1024 + 1))
    assert outcome.code == 2
    assert "1,048,576" in outcome.err


async def test_a_reader_that_goes_away_ends_it_quietly(model: Any, begun: Any, door: Any) -> None:
    process = await begun("hello")
    process.stdin.close()
    model.say("one\n")
    assert await process.stdout.readline() == b"one\n"
    process.stdout._transport.close()  # there is no public way to stop reading
    model.say("two\n")
    assert await process.wait() == 1
    assert await process.stderr.read() == b""
    await door.cancelled.wait()


@pytest.mark.parametrize(
    ("arguments", "environ", "target"),
    [
        ([], {}, "127.0.0.1:50051"),
        ([], {"TROUPE_GRPC_PORT": "7"}, "127.0.0.1:7"),
        ([], {"TROUPE_GRPC_HOST": "0.0.0.0", "TROUPE_GRPC_PORT": "7"}, "127.0.0.1:7"),
        (["--host", "hub.local"], {}, "hub.local:50051"),
        (["--host", "::1", "--port", "9"], {}, "[::1]:9"),
        (["--target", "hub.local:1"], {"TROUPE_GRPC_PORT": "7"}, "hub.local:1"),
    ],
)
def test_the_target_comes_from_arguments_then_settings(
    arguments: list[str], environ: dict[str, str], target: str, tmp_path: Path
) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    settings = load(None, {"TROUPE_HOME": str(tmp_path), **environ})
    assert target_of(parser.parse_args(arguments), settings) == target
