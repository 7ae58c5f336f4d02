"""Writes docs/sixteen-gigabytes.md: what fits on a card of 16 GB, by the estimates that the stage places models by.

python deploy/sixteen_gigabytes.py [--check]
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from actors.llama.engine_limits import loading, replaced
from actors.llama.footprint import Footprint
from actors.llama.settings import LlamaSettings
from actors.model.gguf_header import ModelHeader, Tensor, Texts
from actors.model.memory import Estimate, Loading, estimate
from actors.model.needs import Choice, needs_of
from actors.models.planning import plan_of
from cli.together import together
from forge.architectures import Sizes, gemma3, llama, qwen3
from forge.blueprint import Blueprint, Type, nbytes
from troupe.family.v1 import DescribeModelResponse
from troupe.gpu.v1 import Device, DeviceKind, WatchResponse
from troupe.model.v1 import Model, ModelPlan

PAGE = Path(__file__).parents[1] / "docs" / "sixteen-gigabytes.md"
GIB, CAP = 1 << 30, 0.8
CARD, MAIN = 16 * GIB, 32 * GIB
PROCESS = 75_000_000
"""A process without a model, as it was measured on the machine of results.md."""
CONTEXTS = (4096, 8192, 32768)
Q4 = {"kind": Type.Q4_K, "embedding": Type.Q6_K}
Q8 = {"kind": Type.Q8_0, "embedding": Type.Q8_0}

SHAPES = {
    "0.6 B (qwen3)": (qwen3, Sizes(28, 1024, 3072, 16, 8, 128, 151936, 40960)),
    "1 B (llama 3)": (llama, Sizes(16, 2048, 8192, 32, 8, 64, 128256, 131072)),
    "3 B (llama 3)": (llama, Sizes(28, 3072, 8192, 24, 8, 128, 128256, 131072)),
    "4 B (gemma 3)": (lambda sizes: gemma3(sizes, 1024), Sizes(34, 2560, 10240, 8, 4, 256, 262144, 131072)),
    "8 B (llama 3)": (llama, Sizes(32, 4096, 14336, 32, 8, 128, 128256, 131072, output=Type.Q6_K)),
    "8 B (qwen3)": (qwen3, Sizes(36, 4096, 12288, 32, 8, 128, 151936, 40960, output=Type.Q6_K)),
    "12 B (gemma 3)": (lambda sizes: gemma3(sizes, 1024), Sizes(48, 3840, 15360, 16, 8, 256, 262144, 131072)),
    "14 B (qwen3)": (qwen3, Sizes(40, 5120, 17408, 40, 8, 128, 151936, 40960, output=Type.Q6_K)),
}
"""Shapes of models that many people run."""

TOGETHER = (
    ("8 B (llama 3)", "3 B (llama 3)"),
    ("8 B (llama 3)", "8 B (qwen3)"),
    ("4 B (gemma 3)", "3 B (llama 3)", "0.6 B (qwen3)"),
    ("14 B (qwen3)", "0.6 B (qwen3)"),
    ("12 B (gemma 3)", "4 B (gemma 3)"),
)
"""Models that are wanted at once."""


def header(blueprint: Blueprint) -> ModelHeader:
    """As it would be read from a file of this shape."""
    of = blueprint.architecture
    metadata = {f"{of}.{key}": value for key, value in blueprint.keys.items() if isinstance(value, int | float)}
    tensors = [Tensor(name, axes, int(kind), 0, nbytes(axes, kind)) for name, (axes, kind) in blueprint.tensors.items()]
    count = next(axes[1] for name, (axes, _) in blueprint.tensors.items() if name == "token_embd.weight")
    texts = {"tokenizer.ggml.tokens": Texts(count, 7 * count), "tokenizer.ggml.merges": Texts(count, 9 * count)}
    return ModelHeader({"general.architecture": of, **metadata}, 0, 0, tensors, {}, texts)


def model(name: str, *, small: bool = True) -> ModelHeader:
    """A shape in Q4_K, or in Q8_0; the vocabulary's own words do not matter."""
    make, sizes = SHAPES[name]
    packed = replace(sizes, **(Q4 if small else Q8), output=sizes.output and (Type.Q6_K if small else Type.Q8_0))
    plain = make(replace(packed, vocabulary=2048))
    tensors = {key: (_whole(key, axes, sizes.vocabulary), kind) for key, (axes, kind) in plain.tensors.items()}
    return header(replace(plain, tensors=tensors))


def _whole(name: str, axes: Sequence[int], vocabulary: int) -> Sequence[int]:
    return (axes[0], vocabulary) if name in ("token_embd.weight", "output.weight") else axes


def taken(found: ModelHeader, context: int) -> Estimate:
    """On a card, with everything else as the settings have it."""
    settings = LlamaSettings(context=context)
    return estimate(found, loading(found, settings, Footprint(process=PROCESS), offloads=True))


def plan(name: str, context: int = 8192) -> ModelPlan:
    """As ModelService would tell of it."""
    found, settings = model(name), LlamaSettings(context=context)
    choice = Choice(context, settings.slots, settings.gpu_layers)

    def loaded(other: Choice) -> Loading:
        chosen = replaced(settings, choice, other)
        return loading(found, chosen, Footprint(process=PROCESS), offloads=True)

    needs = needs_of(found, choice, loaded, "")
    return plan_of(Model(name=name, qualified_name=f"llama/{name}"), DescribeModelResponse(needs=needs))


def page() -> Iterator[str]:
    """The page, line by line."""
    yield "# Sixteen gigabytes"
    yield ""
    yield "What fits on one card of 16 GiB, of which the stage uses at most 80 %, 12.8 GiB. The numbers are"
    yield "the estimates that the stage places models by ([stage.md](stage.md)); `make docs` writes it. What the driver"
    yield "takes of the card for each process comes on top. For your own models, with what is loaded now:"
    yield "`troupe stage plan A B C`."
    yield ""
    yield "## One model"
    yield ""
    yield "GiB of the card, with 8 answers at a time and a cache of twice the context."
    yield ""
    heads = [f"{kind}, {context:,}" for kind in ("Q4_K", "Q8_0") for context in CONTEXTS]
    yield "| model | " + " | ".join(heads) + " |"
    yield "|---|" + "---|" * len(heads)
    for name in SHAPES:
        cells = []
        for small in (True, False):
            found = model(name, small=small)
            cells += [_cell(taken(found, context).accelerator_bytes) for context in CONTEXTS]
        yield f"| {name} | " + " | ".join(cells) + " |"
    yield ""
    yield "**Bold** does not fit under the cap. With a part of its layers on the CPU it may, and is slower. A file in"
    yield "Q4_K_M has some matrices in Q6_K, and is a little larger than one that is in Q4_K throughout."
    yield ""
    yield "## Several at once"
    yield ""
    yield "In Q4_K, 8,192 tokens of context each."
    yield ""
    yield "| models | together | left | to change |"
    yield "|---|---|---|---|"
    for names in TOGETHER:
        yield _row(names)


def _cell(size: int) -> str:
    text = f"{size / GIB:.1f}"
    return text if size <= CAP * CARD else f"**{text}**"


def _row(names: Sequence[str]) -> str:
    devices = [
        Device(name="card", kind=DeviceKind.DEVICE_KIND_NVIDIA, total_bytes=CARD, cap_bytes=int(CAP * CARD)),
        Device(name="system", kind=DeviceKind.DEVICE_KIND_SYSTEM, total_bytes=MAIN, cap_bytes=int(CAP * MAIN)),
    ]
    found = together([plan(name) for name in names], WatchResponse(devices=devices))
    changes = [f"{each.name}: {each.change or 'nothing would do'}" for each in found.models if not each.shares]
    left = f"{found.left['card'] / GIB:.1f} GiB"
    return f"| {', '.join(names)} | {'yes' if found.fits else 'no'} | {left} | {'; '.join(changes)} |"


def main(arguments: Sequence[str]) -> int:
    """Write the page, or with --check say whether it is as it would be written."""
    text = "\n".join(page()) + "\n"
    if "--check" in arguments:
        return 0 if PAGE.exists() and PAGE.read_text() == text else 1
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
