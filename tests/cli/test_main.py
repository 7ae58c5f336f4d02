"""The command line as a whole."""

import subprocess
import sys
from importlib import metadata

import pytest

from bus import Code, RpcError
from cli import version
from cli.__main__ import COMMANDS, main


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    said = capsys.readouterr().out
    assert left.value.code == 0
    assert [name for name in COMMANDS if f"    {name}" not in said] == []


def test_an_argument_that_is_no_utf_8_is_a_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", "\udcff"]) == 2
    assert "is no UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["stat"], "There is no command 'stat'. Did you mean `troupe status`"),
        (["--config", "up", "modles", "list"], "There is no command 'modles'. Did you mean `troupe models`?"),
        (["frobnicate"], "There is no command 'frobnicate'. `troupe --help` lists them."),
    ],
)
def test_an_unknown_command_is_a_misuse_and_told_the_nearest(
    typed: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(typed) == 2
    assert said in capsys.readouterr().err


def test_wrong_settings_end_with_a_sentence_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TROUPE_HTTP_PORT", "eighty")
    assert main(["call", "Echo"]) == 2
    assert "TROUPE_HTTP_PORT" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raised", "code"),
    [(KeyboardInterrupt(), 130), (RpcError(Code.NOT_FOUND, "Gone."), 1), (BrokenPipeError(), 1)],
)
def test_each_kind_of_end_has_its_exit_code(
    raised: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def end(_: object) -> int:
        raise raised

    monkeypatch.setattr(version, "run", end)
    assert main(["version"]) == code


def test_a_fault_of_the_program_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(version, "run", fail)
    with pytest.raises(ZeroDivisionError):
        main(["version"])


def test_the_program_starts_without_loading_what_a_command_does_not_need() -> None:
    script = "import sys; from cli.__main__ import parser; parser(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "cli.chat" in loaded
    assert loaded.isdisjoint({"grpc", "torch", "llama_cpp", "nats", "starlette", "rich"})


def test_the_version_is_told_without_loading_any_command() -> None:
    script = "import sys; from cli.__main__ import main\ntry: main(['--version'])\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    said, loaded = done.stdout.splitlines()
    assert said == f"troupe {metadata.version('troupe-hub')}"
    assert set(loaded.split()).isdisjoint({"cli.chat", "asyncio", "google.protobuf", "msgspec"})


def test_an_error_of_the_hub_says_where_more_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    errors = [
        RpcError(Code.UNAVAILABLE, "Gone.", reference="815f6a7348cc"),
        RpcError(Code.NOT_FOUND, "None.", reference="815f6a7348cd"),
    ]

    def fail(_: object) -> int:
        raise errors.pop(0)

    monkeypatch.setattr(version, "run", fail)
    assert main(["version"]) == 1
    assert "`troupe logs 815f6a7348cc`" in capsys.readouterr().err
    assert main(["version"]) == 1
    assert "troupe logs" not in capsys.readouterr().err
