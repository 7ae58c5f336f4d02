import io
import random

import pytest
from rich.console import Console

from cli.chat_markdown import Block, blocks_of, finished_length
from cli.plain_text import clean

TEXT = """# Leases

A **lease** is what an actor holds.
It goes on here.

1. ask
2. wait

   still two

```python
# no heading

def f(): ...
```

| a | b |
|---|---|
| 1 | 2 |

> cuối cùng
"""


def shown(block: Block, width: int = 40) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=20, color_system=None)
    console.print(block)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_the_text_is_cut_before_its_top_level_blocks() -> None:
    blocks = blocks_of(TEXT)
    assert [block.split()[0] for block in blocks] == ["#", "A", "1.", "```python", "|", ">"]
    assert "\n".join(blocks) == TEXT


@pytest.mark.parametrize("seed", range(5))
def test_what_is_finished_never_changes_however_the_text_arrives(seed: int) -> None:
    chance = random.Random(seed)
    tail, position, printed = "", 0, ""
    while position < len(TEXT):
        size = chance.randrange(1, 9)
        tail += TEXT[position : position + size]
        position += size
        length = finished_length(tail)
        printed, tail = printed + tail[:length], tail[length:]
        finished = [block.rstrip() for block in blocks_of(printed)] if printed else []
        assert finished == [block.rstrip() for block in blocks_of(TEXT)][: len(finished)]
    assert printed + tail == TEXT
    assert len(blocks_of(printed)) == 5


@pytest.mark.parametrize("text", ["", "one", "one\ntwo", "- a\n- b\n\n  c", "```\nopen\n\nstill open"])
def test_the_last_block_is_never_finished(text: str) -> None:
    assert finished_length(text) == 0


def test_a_block_has_no_blank_rows_around_it() -> None:
    rows = shown(Block("```\ncode\n```\n\n"))
    assert [row.strip() for row in rows] == ["code"]


def test_only_the_last_rows_are_shown_of_what_is_too_high() -> None:
    text = "```\n" + "\n".join(f"line {number}" for number in range(50))
    assert [row.strip() for row in shown(Block(text, rows=3))] == ["line 47", "line 48", "line 49"]


def test_nothing_is_shown_of_nothing() -> None:
    assert shown(Block("")) == []


def test_a_model_cannot_steer_the_terminal() -> None:
    assert clean("a\x1b[2Jb\x07c\x9b31m\r\n\tđ") == "a[2Jbc31m\n\tđ"
