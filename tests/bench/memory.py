"""What models are estimated to take beside what they take when they are loaded and used to the last cell.

Six kinds of models, each in a process that ends; their weights are zeros, which take as much as others.
"""

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from actors.llama.catalog import SHIPPED
from actors.llama.footprint import measure_footprint
from forge.architectures import Sizes, bert, gemma3, lfm2, llama, mamba, qwen3
from forge.blueprint import Blueprint, Type
from table import Table
from tests.actors.llama.loaded import loaded

MEBIBYTE = 1 << 20
BASE = Sizes(layers=6, width=512, feed_forward=1536, heads=8, kv_heads=4, head_width=64, vocabulary=32000)
LARGER = Sizes(
    layers=8, width=1024, feed_forward=3072, heads=16, kv_heads=4, head_width=64, vocabulary=32000, kind=Type.Q4_K,
    embedding=Type.Q6_K,
)  # fmt: skip

EXPERTS = replace(BASE, feed_forward=256, experts=16, used=4, kind=Type.F16)


@dataclass(frozen=True, slots=True)
class Case:
    """A model and how it is loaded; no blueprint: troupe-tiny."""

    title: str
    blueprint: Blueprint | None
    settings: Mapping[str, int]


CASES = (
    Case("troupe-tiny, Q8_0", None, {"context": 2048, "slots": 8}),
    Case("llama, Q4_K", llama(LARGER), {"context": 1024, "slots": 4}),
    Case("qwen3, Q8_0, 152 k tokens", qwen3(replace(BASE, vocabulary=151936)), {"context": 1024, "slots": 8}),
    Case("qwen3moe, F16", qwen3(EXPERTS), {"context": 512, "slots": 2}),
    Case("gemma3, Q4_0, windows", gemma3(replace(BASE, kind=Type.Q4_0, layers=12), 512), {"context": 2048, "slots": 4}),
    Case("lfm2, Q8_0, hybrid", lfm2(BASE, (2, 5)), {"context": 1024, "slots": 8}),
    Case("mamba, Q8_0, recurrent", mamba(BASE), {"context": 1024, "slots": 8}),
    Case("bert, Q8_0, embeddings", bert(replace(BASE, kv_heads=8, context=512)), {"embedding_context": 512}),
)  # fmt: skip


async def main() -> None:
    footprint = measure_footprint()
    columns = ("model", "settings", "estimated, MiB", "told when loaded, MiB", "used, MiB", "estimate beside used")
    table = Table("memory", "Memory: estimated, told and used", columns)
    worst: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            path = SHIPPED / "troupe-tiny.gguf"
            if case.blueprint is not None:
                path = Path(folder) / "blueprint.gguf"
                case.blueprint.write(path)
            found = loaded(path, footprint, **case.settings)
            worst.append(100 * (found.estimated / found.used - 1))
            sizes = [f"{size / MEBIBYTE:.1f}" for size in (found.estimated, found.told, found.used)]
            said = ", ".join(f"{key} {value}" for key, value in case.settings.items())
            table.rows.append((case.title, said, *sizes, f"{worst[-1]:+.1f} %"))
    span = f"Between {min(worst):+.1f} and {max(worst):+.1f} %"
    table.notes.append(f"{span}; asked: within 5 %, never more than 2 % below.")
    process = f"{footprint.process / MEBIBYTE:.1f} MiB"
    table.notes.append(f"The process without a model takes {process} of each, measured once; nothing else is.")
    table.publish()
