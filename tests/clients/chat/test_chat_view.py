import io
import re

import pytest
from google.protobuf.duration_pb2 import Duration
from rich.console import Console

from cli.chat_view import AnswerView, status_text
from cli.chat_words import ENGLISH, VIETNAMESE, Words
from troupe.chat.v1 import Delta, GenerateResponse
from troupe.rpc.v1 import Progress


@pytest.mark.parametrize(
    ("progress", "words", "text"),
    [
        (Progress(), ENGLISH, "Waiting for the answer"),
        (
            Progress(state=Progress.STATE_QUEUED, position=2, eta=Duration(seconds=4)),
            ENGLISH,
            "Waiting in line · place 2 · about 4 s",
        ),
        (Progress(state=Progress.STATE_QUEUED, eta=Duration(nanos=1)), VIETNAMESE, "Đang xếp hàng · khoảng 1 giây"),
        (Progress(state=Progress.STATE_LOADING, fraction=0.25, note="Loading."), ENGLISH, "Loading tiny · 25%"),
        (Progress(state=Progress.STATE_RUNNING, fraction=0.5, note="Reading."), ENGLISH, "Reading the prompt · 50%"),
        (Progress(state=Progress.STATE_RUNNING, note="Reading."), VIETNAMESE, "Đang đọc lời nhắc"),
        (Progress(note="step\n\x1b[2J3"), ENGLISH, "step [2J3"),
    ],
)
def test_the_status_says_what_is_known(progress: Progress, words: Words, text: str) -> None:
    assert status_text(progress, words, "tiny") == text


async def test_everything_is_on_the_screen_when_the_view_is_left() -> None:
    file = io.StringIO()
    console = Console(file=file, width=60, height=10, force_terminal=True, color_system=None)
    async with AnswerView(console, ENGLISH, "tiny", lambda: True) as view:
        view.take(GenerateResponse(progress=Progress(state=Progress.STATE_QUEUED)))
        for text in ("One.\n\n", "```\n", *(f"row {number}\n" for number in range(30)), "```\n", "\nLast"):
            view.take(GenerateResponse(delta=Delta(text=text)))
    shown = re.sub(r"\x1b\[[0-?]*[@-~]|\r", "", file.getvalue())
    rows = [row.strip() for row in shown.splitlines() if row.strip().startswith(("One", "row", "Last"))]
    assert rows == ["One.", *(f"row {number}" for number in range(30)), "Last"]


async def test_a_view_without_an_answer_leaves_nothing_behind() -> None:
    file = io.StringIO()
    console = Console(file=file, width=60, height=10, color_system=None)
    async with AnswerView(console, ENGLISH, "tiny", lambda: True):
        pass
    assert file.getvalue().strip() == ""
