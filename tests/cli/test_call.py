"""`troupe call`, as a program that talks to a hub."""

import json
from pathlib import Path

from cli.contract import methods

from .conftest import Run

ECHO = "troupe.echo.v1.EchoService/Echo"


async def test_a_unary_call_prints_one_line_of_json(troupe: Run, door: str) -> None:
    ended = await troupe("call", ECHO, '{"text": "Xin chào"}', "--target", door)
    assert (ended.code, ended.out, ended.err) == (0, '{"text": "Xin chào"}\n', "")


async def test_a_server_stream_prints_one_line_per_response(troupe: Run, door: str) -> None:
    ended = await troupe("call", "Repeat", '{"text": "a", "count": 3}', "--target", door)
    assert ended.code == 0
    assert [json.loads(line).get("index", 0) for line in ended.out.splitlines()] == [0, 1, 2]


async def test_a_client_stream_reads_json_lines_from_stdin(troupe: Run, door: str) -> None:
    ended = await troupe("call", "Collect", "--target", door, given='{"text": "a"}\n\n{"text": "b"}\n')
    assert (ended.code, json.loads(ended.out)) == (0, {"text": "a b", "count": 2})


async def test_a_client_stream_takes_a_list_too(troupe: Run, door: str) -> None:
    ended = await troupe("call", "Collect", '[{"text": "a"}, {"text": "b"}]', "--target", door)
    assert (ended.code, json.loads(ended.out)["count"]) == (0, 2)


async def test_a_bidi_stream_answers_line_by_line(troupe: Run, door: str) -> None:
    ended = await troupe("call", "Converse", "--target", door, given='{"text": "a"}\n{"text": "b"}\n')
    assert (ended.code, [json.loads(line)["text"] for line in ended.out.splitlines()]) == (0, ["a", "b"])


async def test_a_request_comes_from_a_file_or_from_stdin(troupe: Run, door: str, tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text('{"text": "from a file"}')
    ended = await troupe("call", ECHO, "@request.json", "--target", door)
    assert json.loads(ended.out) == {"text": "from a file"}
    ended = await troupe("call", ECHO, "-", "--target", door, given='{"text": "from stdin"}')
    assert json.loads(ended.out) == {"text": "from stdin"}


async def test_a_refusal_is_one_sentence_on_stderr_and_exit_code_1(troupe: Run, door: str) -> None:
    ended = await troupe(
        "call", "Fail", '{"code": 5, "message": "Gone.", "reason": "MODEL_NOT_FOUND"}', "--target", door
    )
    assert (ended.code, ended.out, ended.err) == (1, "", "troupe: NOT_FOUND (MODEL_NOT_FOUND): Gone.\n")


async def test_a_refusal_as_json_carries_the_details(troupe: Run, door: str) -> None:
    ended = await troupe("call", "Fail", '{"code": 5, "message": "Gone.", "reason": "X"}', "--json", "--target", door)
    status = json.loads(ended.err)
    assert (ended.code, status["code"], status["details"][0]["reason"]) == (1, 5, "X")


async def test_a_deadline_ends_a_stream(troupe: Run, door: str) -> None:
    ended = await troupe("call", "Repeat", '{"count": 100, "interval": "30s"}', "--timeout", "0.5", "--target", door)
    assert (ended.code, "DEADLINE_EXCEEDED" in ended.err) == (1, True)


async def test_without_arguments_every_public_method_is_listed(troupe: Run) -> None:
    ended = await troupe("call")
    assert [line.split()[0] for line in ended.out.splitlines()] == sorted(methods())
    assert f"{ECHO}  " in ended.out


async def test_an_unknown_method_is_answered_with_the_nearest(troupe: Run) -> None:
    ended = await troupe("call", "EchoService/Ecco")
    assert (ended.code, ECHO in ended.err) == (2, True)


async def test_describe_prints_the_fields_and_calls_nothing(troupe: Run) -> None:
    ended = await troupe("call", "ChatService/Generate", "--describe")
    assert ended.code == 0
    assert "returns (stream GenerateResponse)" in ended.out
    assert "repeated troupe.chat.v1.Message messages" in ended.out
    assert "ROLE_USER" in ended.out


async def test_wrong_json_is_told_before_anything_is_called(troupe: Run) -> None:
    for request, told in (("{text}", "is no JSON"), ('{"txt": 1}', '"txt"'), ("[1]", "is a JSON object")):
        ended = await troupe("call", ECHO, request)
        assert (ended.code, told in ended.err, ended.err.count("\n")) == (2, True, 1), ended.err


async def test_a_wrong_line_of_stdin_is_named_by_its_number(troupe: Run, door: str) -> None:
    ended = await troupe("call", "Collect", "--target", door, given='{"text": "a"}\nnonsense\n')
    assert (ended.code, "line 2 of stdin is no JSON" in ended.err) == (2, True)


async def test_metadata_without_a_value_is_refused(troupe: Run, door: str) -> None:
    ended = await troupe("call", ECHO, "{}", "--metadata", "Key", "--target", door)
    assert (ended.code, "'Key' is no KEY=VALUE" in ended.err) == (2, True)


async def test_without_a_hub_the_command_that_starts_one_is_named(troupe: Run) -> None:
    ended = await troupe("call", ECHO, "--target", "127.0.0.1:1")
    assert (ended.code, "`troupe up`" in ended.err) == (2, True)
