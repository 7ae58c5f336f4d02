import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from bus import Context
from bus.context import current
from host.log import RotatingFile, configure
from host.settings import BusSettings, LogSettings
from troupe.echo.v1 import EchoRequest, EchoService

PROMPT = "Mật khẩu két sắt của tôi là gì, và vì sao nó lại nằm trong nhật ký của máy chủ này?"
KEY = "tr-abcdefghijklmnop0123456789"


class Lines:
    """What was logged, as text and decoded."""

    def __init__(self) -> None:
        self.file = io.StringIO()

    def configure(self, settings: LogSettings | None = None) -> None:
        configure(settings or LogSettings(), "echo-1", self.file)

    @property
    def text(self) -> str:
        return self.file.getvalue()

    @property
    def last(self) -> dict[str, Any]:
        decoded: dict[str, Any] = json.loads(self.text.splitlines()[-1])
        return decoded


@pytest.fixture
def lines() -> Iterator[Lines]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield Lines()
    structlog.reset_defaults()
    root.handlers, root.level = before


@pytest.fixture
def log(lines: Lines) -> Any:
    lines.configure()
    return structlog.get_logger("test")


def test_a_line_is_json_with_time_level_and_process(lines: Lines, log: Any) -> None:
    log.warning("model.unloaded", model="troupe-tiny", bytes=12)
    assert (
        lines.last.items() >= {"event": "model.unloaded", "level": "warning", "process": "echo-1", "bytes": 12}.items()
    )
    assert lines.last["timestamp"].endswith("Z")


def test_inside_a_handler_the_call_is_named(lines: Lines, log: Any) -> None:
    token = current.set(Context("call-7", EchoService.INFO.methods["Echo"], {}))
    try:
        log.info("echoed")
    finally:
        current.reset(token)
    assert lines.last["call_id"] == "call-7"
    assert lines.last["method"] == "troupe.echo.v1.EchoService/Echo"


def test_inside_a_handler_a_line_names_who_called_with_what_and_the_request(lines: Lines, log: Any) -> None:
    told = {"x-request-id": "req-1", "troupe-principal": "anna", "troupe-credential": "key-1"}
    token = current.set(Context("c1", EchoService.INFO.methods["Echo"], told))
    try:
        log.info("asked")
    finally:
        current.reset(token)
    line = lines.last
    assert (line["request_id"], line["principal"], line["credential_id"]) == ("req-1", "anna", "key-1")


def test_what_is_below_the_level_is_left_out(lines: Lines, log: Any) -> None:
    log.debug("detail")
    assert lines.text == ""


def test_libraries_come_out_the_same_way(lines: Lines, log: Any) -> None:
    logging.getLogger("somebody.else").warning("key %s was refused", KEY)
    assert lines.last["event"] == "key tr-[secret] was refused"
    assert lines.last["process"] == "echo-1"


@pytest.mark.parametrize(
    "name",
    ["authorization", "api_key", "apiKey", "resume_key", "password", "token", "x-api-key", "set-cookie", "nats_token"],
)
def test_values_with_a_secret_name_are_left_out(lines: Lines, log: Any, name: str) -> None:
    log.info("seen", **{name: "open sesame"}, nested={"deep": [{name: "open sesame"}]})
    assert "sesame" not in lines.text
    assert lines.last[name] == "[secret]"


@pytest.mark.parametrize(
    "text",
    [
        f"the key {KEY} is unknown",
        "Authorization: Bearer c2VjcmV0LXNlY3JldA==",
        "connecting to nats://troupe:c2VjcmV0LXNlY3JldA==@127.0.0.1:4222",
        "subprotocols troupe.v1.json, troupe.key.tr-c2VjcmV0LXNlY3JldA==",
    ],
)
def test_secrets_are_known_by_their_look_too(lines: Lines, log: Any, text: str) -> None:
    log.info(text, where=[text], anything={"else": text})
    assert "c2VjcmV0" not in lines.text
    assert KEY not in lines.text
    assert lines.text.count("[secret]") >= 3


def test_secrets_are_left_out_also_where_words_are_not(lines: Lines) -> None:
    lines.configure(LogSettings(redact=False))
    structlog.get_logger().info("asked", prompt=PROMPT, authorization=f"Bearer {KEY}")
    assert lines.last["prompt"] == PROMPT
    assert KEY not in lines.text


def test_settings_in_a_log_keep_their_password(lines: Lines, log: Any) -> None:
    log.info("settings", bus=BusSettings(url="nats://bus:4222", password="sesame"))
    assert "sesame" not in lines.text
    assert lines.last["bus"]["url"] == "nats://bus:4222"


def test_prompts_and_answers_are_told_by_their_length_only(lines: Lines, log: Any) -> None:
    log.info("asked", prompt=PROMPT, messages=[{"role": "user", "content": PROMPT}], request=EchoRequest(text=PROMPT))
    assert lines.last["prompt"] == f"[{len(PROMPT)} characters]"
    assert lines.last["messages"] == "[1 entries]"
    assert lines.last["request"].startswith("[EchoRequest, ")
    assert "két sắt" not in lines.text


def test_protobuf_messages_and_bytes_are_never_spelt_out(lines: Lines, log: Any) -> None:
    log.info("took", frame=EchoRequest(text=PROMPT), raw=PROMPT.encode())
    assert "két sắt" not in lines.text
    assert lines.last["raw"] == f"[{len(PROMPT.encode())} bytes]"


def test_an_exception_keeps_its_frames_but_not_the_words_it_repeats(lines: Lines, log: Any) -> None:
    try:
        raise KeyError(PROMPT)
    except KeyError:
        log.exception("call.failed")
    assert "két sắt" not in lines.text
    assert f'File "{__file__}"' in lines.last["exception"]
    assert "KeyError" in lines.last["exception"]


def test_counts_of_tokens_are_no_secret(lines: Lines, log: Any) -> None:
    log.info("answered", prompt_tokens=20, completion_tokens=9, max_tokens=100, content=None)
    assert (
        lines.last.items() >= {"prompt_tokens": 20, "completion_tokens": 9, "max_tokens": 100, "content": None}.items()
    )


def test_plain_sentences_with_apostrophes_stay_readable(lines: Lines, log: Any) -> None:
    sentence = (
        "The model can't be loaded because the file's header says something else than what its name says, isn't it?"
    )
    log.info(sentence)
    assert lines.last["event"] == sentence


def test_one_value_cannot_fill_the_log(lines: Lines, log: Any) -> None:
    log.info("big", value="x" * 1_000_000)
    assert len(lines.text) < 10_000


def test_the_console_form_is_for_people_and_redacted_as_well(lines: Lines) -> None:
    lines.configure(LogSettings(format="console"))
    structlog.get_logger().info("asked", prompt=PROMPT, key=KEY)
    assert "asked" in lines.text
    assert "két sắt" not in lines.text
    assert KEY not in lines.text


def test_a_full_file_makes_room_and_keeps_one_before(tmp_path: Path) -> None:
    file = RotatingFile(tmp_path / "logs" / "echo.log", max_bytes=100)
    for number in range(50):
        file.write(f"line {number:02d}\n")
    file.close()
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == ["echo.log", "echo.log.1"]
    assert all(path.stat().st_size <= 100 for path in (tmp_path / "logs").iterdir())
    assert (tmp_path / "logs" / "echo.log").read_text().endswith("line 49\n")


def test_what_cannot_be_written_disturbs_nobody(tmp_path: Path) -> None:
    full = RotatingFile(Path("/dev/full"))
    closed = RotatingFile(tmp_path / "echo.log")
    closed.close()
    for file in (full, closed):
        assert file.write("a line\n") == len("a line\n")
        file.flush()
        file.close()
