"""What a model's process says, as lines, and what else it may print."""

from pathlib import Path

import pytest

from actors.model.launcher import Report, SubprocessLauncher
from bus import Code, RpcError
from troupe.rpc.v1 import Progress

WHY = RpcError(Code.RESOURCE_EXHAUSTED, "Nó không vừa.", reason="INSUFFICIENT_MEMORY", retry_after=1.5)


def test_a_report_is_a_line_and_back_again() -> None:
    progress = Progress(state=Progress.STATE_QUEUED, position=2, note="line\none")
    for report in (Report.loading(progress), Report.ready(), Report.leaving(WHY), Report.failed(WHY)):
        line = report.line()
        assert line.count(b"\n") == 1
        assert Report.read(line) == report
    assert Report.loading(progress).how == progress
    assert Report.failed(WHY).why.to_status() == WHY.to_status()


@pytest.mark.parametrize(
    "line",
    [b"", b"loading\n", b"{}\n", b"[]\n", b'{"state": 1}\n', b'{"state":"loading","progress":"/w=="}\n', b"\xff\n"],
)
def test_what_is_no_report_is_none(line: bytes) -> None:
    assert Report.read(line) is None


async def test_what_a_library_prints_between_reports_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "chatty.py").write_text(
        "import sys\n"
        "sys.stdout.write('x' * 200_000 + '\\n')\n"
        "print('loading tensors')\n"
        f"sys.stdout.write({Report.ready().line().decode()!r})\n"
    )
    environment = {"PYTHONPATH": str(tmp_path)}
    process = await SubprocessLauncher("chatty", environment).launch("small", Path("small.gguf"), "abc")
    assert [report async for report in process.reports()] == [Report.ready()]
    assert (await process.ended()).why == "it ended with code 0"
