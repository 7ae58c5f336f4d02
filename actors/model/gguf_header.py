"""What a GGUF file says about itself, as an object: metadata, and each tensor with its place and size."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Scalar = str | int | float | bool

FILE_TYPES: Mapping[int, str] = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S",
    12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K",
    19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL",
    26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 38: "MXFP4",
}  # fmt: skip
"""llama.cpp's names of file types (general.file_type)."""


RANKS = 4
"""llama.cpp's pooling type of models that say how well a text answers a question, which is a number and no vector."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a file.

    axes: elements along each, the row first. kind: ggml's number of its type. offset: where its data begins, counted
    from the first tensor's of its file. size: bytes; 0 for a type that is newer than this reader. file: which one of
    a model's.
    """

    name: str
    axes: Sequence[int]
    kind: int
    offset: int
    size: int
    file: int = 0

    @property
    def layer(self) -> int | None:
        """The layer that it belongs to; None: to none, as the embedding of tokens."""
        first, _, rest = self.name.partition(".")
        number = rest.partition(".")[0]
        return int(number) if first == "blk" and number.isdecimal() else None


@dataclass(frozen=True, slots=True)
class Texts:
    """An array of strings.

    count: how many. size: bytes of all. long: bytes of those with more than 15, as a C++ library keeps them, outside of
    the string itself.
    """

    count: int
    size: int
    long: int = 0


@dataclass(frozen=True, slots=True)
class ModelHeader:
    """What a file says about itself, or all files of a model in several."""

    metadata: Mapping[str, Scalar]
    parameters: int
    size_bytes: int
    """Of all files."""
    tensors: Sequence[Tensor] = ()
    arrays: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Arrays of numbers with at most as many elements as a model has layers; longer ones are left out."""
    texts: Mapping[str, Texts] = field(default_factory=dict)
    """Arrays of strings: not what they say, but how much there is of it."""
    lists: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Arrays of strings that say something of the model as a whole, as "general.languages"; short ones alone."""
    starts: Sequence[int] = (0,)
    """Where the data of the tensors begins in each file."""

    def text(self, key: str) -> str:
        """A string, or empty."""
        value = self.metadata.get(key, "")
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> int:
        """A whole number, or 0."""
        value = self.metadata.get(key, 0)
        return int(value) if isinstance(value, int | float) else 0

    def numbers(self, key: str, count: int) -> list[int]:
        """A whole number for each of `count` layers, where the file has one for all or one for each; 0 where none."""
        each = self.arrays.get(key, ())
        return (
            [int(each[place]) if place < len(each) else 0 for place in range(count)]
            if each
            else ([self.number(key)] * count)
        )

    def own(self, key: str) -> str:
        """A key of the architecture's own, for example "llama.block_count" for "block_count"."""
        return f"{self.architecture}.{key}"

    def tensor(self, name: str) -> Tensor | None:
        """The tensor of this name."""
        return next((each for each in self.tensors if each.name == name), None)

    @property
    def fingerprint(self) -> str:
        """The same for files that take the same memory: it tells architecture and tensors, not their values."""
        said = [f"{key}={value}" for key, value in sorted(self.metadata.items()) if key.startswith(self.own(""))]
        said += [f"{key}={list(value)}" for key, value in sorted(self.arrays.items())]
        said += [f"{key}={value.count},{value.size}" for key, value in sorted(self.texts.items())]
        said += [f"{each.name}:{each.kind}:{each.size}" for each in self.tensors]
        return hashlib.sha256("\n".join([self.architecture, *said]).encode()).hexdigest()[:32]

    @property
    def architecture(self) -> str:
        """For example "qwen2"."""
        return self.text("general.architecture")

    @property
    def quantization(self) -> str:
        """For example "Q8_0"; empty if the file does not say."""
        return FILE_TYPES.get(self.number("general.file_type"), "") if "general.file_type" in self.metadata else ""

    @property
    def context_tokens(self) -> int:
        """What the model was trained for; 0 if the file does not say."""
        return self.number(f"{self.architecture}.context_length")

    @property
    def embedding_dimensions(self) -> int:
        """Width of the hidden state."""
        return self.number(f"{self.architecture}.embedding_length")

    @property
    def pooling(self) -> int:
        """llama.cpp's pooling type if the model brings its own, else 0."""
        return self.number(f"{self.architecture}.pooling_type")

    @property
    def embeds_only(self) -> bool:
        """Encoders look both ways and cannot continue a text."""
        return self.metadata.get(f"{self.architecture}.attention.causal", True) is False

    @property
    def embeds(self) -> bool:
        """Whether its vectors mean something.

        They do where the file says so under `troupe.services`, and else where the model was trained for them: it brings
        its own pooling, or looks both ways. What a model that continues texts holds inside is no measure of likeness.
        """
        services = self.text("troupe.services")
        if services:
            return "troupe.embedding.v1.EmbeddingService" in services.split(",")
        return self.pooling != RANKS and (self.pooling > 0 or self.embeds_only)

    @property
    def template(self) -> str:
        """The chat template, or empty."""
        return self.text("tokenizer.chat_template")
