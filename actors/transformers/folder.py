"""A model as it lies on the disk: what its files say of it, without importing a library for it."""

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from actors.model.card import Card, card_of_gguf
from actors.model.gguf_file import read_header
from actors.model.layers import layers_of
from actors.transformers.packing import packing_of
from actors.transformers.readme import card_of_readme
from actors.transformers.safetensors_file import Tensor, read_tensors

JSON_LIMIT = 64 << 20
"""Bytes of a JSON file that is read here."""
FILES_LIMIT = 10_000
LAYERS = frozenset({"full_attention", "sliding_attention"})
"""Kinds of layers whose cache this family can hold for several answers at once."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a model before it is loaded."""

    architecture: str
    quantization: str
    """As people name it: "BF16", "GPTQ", "Q4_1"."""
    packed: bool
    """The weights stay packed when they are loaded; else they are unpacked."""
    parameters: int
    size_bytes: int
    context_tokens: int
    """What it was trained for; 0: not told."""
    dimensions: int
    generates: bool
    chats: bool
    cache_values: int
    """Numbers in the cache for each token; 0: not told."""
    widest: int
    """Numbers that a layer makes of a token at most."""
    layers: int
    vocabulary: int
    embedding_tokens: int = 0
    """The longest input that it was made to embed; 0: not told."""
    own_dtype: str = "float32"
    card: Card = field(default_factory=Card)
    tensors: Mapping[str, Tensor] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model is loaded from. gguf: the file in the folder; empty: its safetensors."""

    folder: Path
    gguf: str = ""

    @classmethod
    def of(cls, path: Path) -> "Source":
        """Of a folder or a GGUF file."""
        if path.suffix == ".gguf" and not path.is_dir():
            return cls(path.parent, path.name)
        files = _files(path, "*.gguf")
        return cls(path, files[0].name if files and not _files(path, "*.safetensors") else "")

    @property
    def files(self) -> list[Path]:
        """Those with the weights."""
        return [self.folder / self.gguf] if self.gguf else _files(self.folder, "*.safetensors")


def is_model(folder: Path) -> bool:
    """Whether a folder holds a model, be it one that cannot be loaded."""
    if (folder / "adapter_config.json").is_file():
        return False
    return (folder / "config.json").is_file() or bool(_files(folder, "*.gguf"))


def stamp(source: Source) -> tuple[tuple[str, int, int], ...]:
    """Changes whenever the files do. Raises OSError."""
    files = [*source.files, *(_files(source.folder, "*.json") if not source.gguf else [])]
    status = [(path.name, path.stat()) for path in files]
    return tuple((name, each.st_mtime_ns, each.st_size) for name, each in status)


def read_facts(source: Source) -> Facts:
    """What the files say. Raises ValueError, a sentence, where the model cannot be served; RpcError, OSError."""
    return _of_gguf(source.folder / source.gguf) if source.gguf else _of_folder(source)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no file. Raises ValueError, a sentence."""
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        text = file.read(JSON_LIMIT + 1)
    if len(text) > JSON_LIMIT:
        raise ValueError(f"{path.name} has more than {JSON_LIMIT} bytes.")
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as problem:
        raise ValueError(f"{path.name} is no JSON object.") from problem


def pooling(folder: Path) -> str:
    """How a model that embeds makes one vector of many: "mean", "cls", "lasttoken" or "max"."""
    told = read_json(folder / "1_Pooling" / "config.json")
    kinds = {"mean": "mean_tokens", "cls": "cls_token", "lasttoken": "lasttoken", "max": "max_tokens"}
    return next((kind for kind, key in kinds.items() if told.get(f"pooling_mode_{key}")), "mean")


def _of_gguf(path: Path) -> Facts:
    header = read_header(path)
    return Facts(
        architecture=header.architecture,
        quantization=header.quantization,
        packed=False,
        parameters=header.parameters,
        size_bytes=header.size_bytes,
        context_tokens=header.context_tokens,
        dimensions=header.embedding_dimensions,
        generates=not header.embeds_only,
        chats=bool(header.template),
        cache_values=sum(layer.keys + layer.values for layer in layers_of(header)),
        widest=4 * header.embedding_dimensions,
        layers=1,
        vocabulary=0,
        card=card_of_gguf(header),
    )


def _of_folder(source: Source) -> Facts:
    folder, config = source.folder, read_json(source.folder / "config.json")
    inner = config.get("text_config")
    text: dict[str, Any] = {**config, **inner} if isinstance(inner, dict) else config
    generates = _generates(config)
    _refuse(folder, config, text, source.files)
    packing = packing_of(config)
    tensors = read_tensors(source.files)
    kinds = Counter[str]()
    for name, each in tensors.items():
        kinds[each.dtype] += packing.weights(name, each.dtype, each.elements) if packing else each.elements
    common = kinds.most_common(1)[0][0] if kinds else ""
    layers, width = _number(text, "num_hidden_layers", "n_layer"), _number(text, "hidden_size", "n_embd", "d_model")
    heads = _number(text, "num_attention_heads", "n_head")
    head_width = _number(text, "head_dim") or (width // heads if heads else 0)
    sentences = read_json(folder / "sentence_bert_config.json")
    return Facts(
        architecture=str(config.get("model_type", "")),
        quantization=packing.name if packing else common,
        packed=packing is not None,
        parameters=sum(kinds.values()),
        size_bytes=sum(path.stat().st_size for path in source.files),
        context_tokens=_number(text, "max_position_embeddings", "n_positions"),
        dimensions=width,
        generates=generates,
        chats=generates and _has_template(folder),
        cache_values=2 * layers * (_number(text, "num_key_value_heads") or heads) * head_width if generates else 0,
        widest=max(_number(text, "intermediate_size", "n_inner") or 4 * width, width),
        layers=max(1, layers),
        vocabulary=_number(text, "vocab_size"),
        embedding_tokens=_number(sentences, "max_seq_length"),
        own_dtype=str(text.get("dtype") or text.get("torch_dtype") or config.get("torch_dtype") or "float32"),
        tensors=tensors,
        card=card_of_readme(folder),
    )


def _generates(config: Mapping[str, Any]) -> bool:
    names = config.get("architectures") or [""]
    return str(names[0]).endswith(("ForCausalLM", "ForConditionalGeneration", "LMHeadModel"))


def _refuse(folder: Path, config: Mapping[str, Any], text: Mapping[str, Any], files: list[Path]) -> None:
    """Raises ValueError, a sentence, for what this family does not serve."""
    if not config:
        raise ValueError("config.json is empty.")
    if config.get("is_encoder_decoder"):
        raise ValueError("It is an encoder with a decoder; this family serves decoders and encoders alone.")
    others = {str(kind) for kind in text.get("layer_types") or ()} - LAYERS
    if others:
        raise ValueError(f"It has layers of the kind {min(others)}, which this family cannot batch.")
    if not files:
        pickled = any(_files(folder, "*.bin"))
        why = "; those in .bin files can run code when they are read. Convert them to safetensors" if pickled else ""
        raise ValueError(f"There are no weights as safetensors{why}.")
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")):
        raise ValueError("There is no tokenizer beside the weights.")
    packing = packing_of(config)
    if packing is not None and packing.missing:
        raise ValueError(
            f"Its weights are packed by {packing.method}, and the package {packing.missing} is not installed. Run "
            f"`{sys.executable} -m pip install {packing.missing}` and ask again."
        )


def _number(config: Mapping[str, Any], *keys: str) -> int:
    found = next((config[key] for key in keys if isinstance(config.get(key), int)), 0)
    return max(0, int(found))


def _has_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file():
        return True
    return bool(read_json(folder / "tokenizer_config.json").get("chat_template"))


def _files(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(path for path in folder.glob(pattern) if path.is_file())[:FILES_LIMIT]
    except OSError:
        return []
