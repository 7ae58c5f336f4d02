"""Tables of results, with the machine and the date, as a page that people read."""

import datetime
import os
import platform
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "results.md"


@dataclass
class Table:
    """One benchmark's result. Rows are strings, notes are sentences under it."""

    name: str
    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        head = "| " + " | ".join(self.columns) + " |"
        line = "|" + "---|" * len(self.columns)
        rows = ["| " + " | ".join(row) + " |" for row in self.rows]
        notes = ["", *[f"- {note}" for note in self.notes]] if self.notes else []
        return "\n".join([f"## {self.title}", "", f"{machine()}", "", head, line, *rows, *notes])

    def publish(self) -> None:
        """Print it, and put it into its place on the results page."""
        text = self.markdown()
        print(text, flush=True)
        start, end = f"<!-- {self.name} -->", f"<!-- /{self.name} -->"
        page = PAGE.read_text() if PAGE.exists() else "# Results\n"
        block = f"{start}\n{text}\n{end}"
        pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
        page = pattern.sub(lambda _: block, page) if pattern.search(page) else f"{page.rstrip()}\n\n{block}\n"
        PAGE.write_text(page)


def machine() -> str:
    """When and where, in a line."""
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    model = next(
        (line.split(":", 1)[1].strip() for line in _cpuinfo() if line.startswith("model name")), platform.processor()
    )
    return f"{date}, {os.cpu_count()} cores of {model}, {platform.system()}, Python {platform.python_version()}."


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def median(values: Sequence[float]) -> float:
    """The median; nan for none."""
    return statistics.median(values) if values else float("nan")
