"""Models with random weights: a very small one for tests of an engine, a large one for measuring it.

They speak nonsense, but the same nonsense every time: weights depend on nothing but the seed.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from forge.gguf_file import Label, Shape, Vocabulary, write_adapter, write_model
from forge.template import CONTROL_TOKENS, MARKUP_TOKENS

FIXTURE = Shape(
    layers=2, width=64, feed_forward=128, heads=4, kv_heads=2, head_width=16, vocabulary=288, context=2048, tied=False
)
HALF_BILLION = Shape(
    layers=24,
    width=1024,
    feed_forward=3072,
    heads=16,
    kv_heads=8,
    head_width=64,
    vocabulary=151936,
    context=32768,
    rope_theta=1e6,
)
SIZES = {"fixture": FIXTURE, "0.5b": HALF_BILLION}
"""Shapes by the name that the command line takes."""

SERVICES = ("troupe.chat.v1.ChatService", "troupe.embedding.v1.EmbeddingService")
"""Named, so that embeddings are measured too; of a model that continues texts they are offered to nobody otherwise."""

BLOCK = 32
"""Q8_0 packs 32 weights as one float16 scale and 32 signed bytes."""


def byte_letters() -> list[str]:
    """GPT-2's printable letter for each byte, 0 to 255."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = {byte: chr(byte) for byte in plain}
    others = [byte for byte in range(256) if byte not in letters]
    letters |= {byte: chr(256 + place) for place, byte in enumerate(others)}
    return [letters[byte] for byte in range(256)]


def byte_vocabulary(size: int) -> Vocabulary:
    """Special tokens, all bytes and a few merges, filled up to `size` with tokens that no text leads to."""
    merges = ["t h", "th e", "i n", "a n", "n g", "Ġ t", "Ġ a", "e r", "o n"]
    tokens = [*CONTROL_TOKENS, *MARKUP_TOKENS, *byte_letters(), *(merge.replace(" ", "") for merge in merges)]
    tokens += [f"<word{number}>" for number in range(size - len(tokens))]
    return Vocabulary(tuple(tokens), tuple(merges))


def write_random_model(path: Path, shape: Shape, name: str, seed: int = 0) -> None:
    """Write a Q8_0 model with random weights of the usual scale (standard deviation 1 / sqrt(inputs))."""
    label = Label(name, "Random weights for tests and measurements; its answers mean nothing.", services=SERVICES)
    write_model(path, label, shape, byte_vocabulary(shape.vocabulary), _tensors(shape, seed))


def write_random_adapter(path: Path, shape: Shape, name: str, rank: int = 4, seed: int = 0) -> None:
    """Write a LoRA adapter with random weights, strong enough that it changes what a random model says."""
    generator = np.random.default_rng(seed)
    pairs = {}
    for layer in range(shape.layers):
        for matrix, (rows, columns) in shape.matrices().items():
            a = generator.standard_normal((rank, columns), dtype=np.float32) * columns**-0.5
            b = generator.standard_normal((rows, rank), dtype=np.float32) * rank**-0.5
            pairs[f"blk.{layer}.{matrix}.weight"] = (a.astype(np.float32), b.astype(np.float32))
    write_adapter(path, Label(name, "Random weights for tests."), float(2 * rank), pairs)


def write_fixtures(folder: Path, seed: int = 0) -> list[Path]:
    """Write the test model, a second one that differs from it, and an adapter for either; return their paths."""
    paths = [folder / "fixture.gguf", folder / "fixture-b.gguf", folder / "fixture-lora.gguf"]
    write_random_model(paths[0], FIXTURE, "fixture", seed)
    write_random_model(paths[1], FIXTURE, "fixture-b", seed + 1)
    write_random_adapter(paths[2], FIXTURE, "fixture-lora", seed=seed)
    return paths


def _tensors(shape: Shape, seed: int) -> Iterator[tuple[str, npt.NDArray[np.generic]]]:
    generator = np.random.default_rng(seed)
    ones = np.ones(shape.width, np.float32)
    yield "token_embd.weight", _random_q8(generator, shape.vocabulary, shape.width)
    for layer in range(shape.layers):
        prefix = f"blk.{layer}."
        yield prefix + "attn_norm.weight", ones
        yield prefix + "ffn_norm.weight", ones
        for matrix, (rows, columns) in shape.matrices().items():
            yield f"{prefix}{matrix}.weight", _random_q8(generator, rows, columns)
    yield "output_norm.weight", ones
    if not shape.tied:
        yield "output.weight", _random_q8(generator, shape.vocabulary, shape.width)


def _random_q8(generator: np.random.Generator, rows: int, columns: int) -> npt.NDArray[np.uint8]:
    """Q8_0 blocks of uniform signed bytes; drawing the packed form spares quantizing hundreds of millions of floats."""
    deviation_of_bytes = 255 / 12**0.5
    scale = np.float16(columns**-0.5 / deviation_of_bytes)
    blocks = np.empty((rows, columns // BLOCK, 2 + BLOCK), np.uint8)
    blocks[..., :2] = np.frombuffer(scale.tobytes(), np.uint8)
    blocks[..., 2:] = generator.integers(-127, 128, (rows, columns // BLOCK, BLOCK), np.int8).view(np.uint8)
    return blocks.reshape(rows, -1)
