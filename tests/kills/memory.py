"""What models' processes really hold, whatever anybody says of it: the files that they have mapped."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Self

LOOK_SECONDS = 0.03
"""Between two looks. Two processes that hold one place do so for as long as a load takes, which is longer."""


class Holders:
    """An async context: it looks while it is entered. family: the number of the process whose children serve models.

    most: the most that have held a model at one time.
    """

    def __init__(self, family: int) -> None:
        self.most = 0
        self._family = family
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep_looking(), name="holders")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def now(self) -> dict[int, str]:
        """Processes that hold a model, and which."""
        children = Path(f"/proc/{self._family}/task/{self._family}/children").read_text().split()
        found = {int(child): _model(int(child)) for child in children}
        return {pid: model for pid, model in found.items() if model}

    async def _keep_looking(self) -> None:
        while True:
            self.most = max(self.most, len(self.now()))
            await asyncio.sleep(LOOK_SECONDS)


def _model(pid: int) -> str:
    """The model whose file a process has mapped; empty: none, or the process has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            path = line.partition("/")[2]
            if path.endswith(".gguf"):
                return Path(path).stem
    return ""
