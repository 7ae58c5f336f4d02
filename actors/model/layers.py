"""What each layer of a model remembers of running calls, from the file's header.

There are three kinds, and a layer may have none or two of them: keys and values of all tokens, the same of a window of
the last tokens, and a state of one size for each call. The rules are llama.cpp's (llama-hparams.cpp, llama-model.cpp
and the `load_arch_hparams` of each architecture); where an architecture is not known here, its layers count as the
header makes them look: full attention, which takes most.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from actors.model.gguf_header import ModelHeader

NO_CACHE = frozenset(
    [
        "bert",
        "jina-bert-v2",
        "jina-bert-v3",
        "nomic-bert",
        "nomic-bert-moe",
        "neo-bert",
        "eurobert",
        "modern-bert",
        "gemma-embedding",
        "dream",
        "llada",
        "llada-moe",
        "rnd1",
        "wavtokenizer-dec",
    ]
)
"""Architectures that look at whole inputs and keep nothing."""

RECURRENT = frozenset(["mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"])
"""Architectures whose layers have a state and no attention."""

BOTH = frozenset(["falcon-h1"])
"""Architectures whose layers have a state and attention."""

INTERVALS: Mapping[str, int] = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4, "minimax-01": 8}
"""Hybrids that attend in each so many layers, unless the header says otherwise, and have a state in the others."""

WINDOWS: Mapping[str, tuple[int, bool]] = {
    "gemma2": (2, False), "gemma3": (6, False), "gemma3n": (5, False), "cohere2": (4, False), "gpt-oss": (2, False),
    "exaone4": (4, False), "exaone-moe": (4, False), "olmo2": (4, False), "llama4": (4, False), "plamo3": (8, False),
    "afmoe": (4, False), "smallthinker": (4, True), "cohere2moe": (4, True), "laguna": (4, True), "mellum": (4, False),
}  # fmt: skip
"""Of so many layers all but one look back over a window; True: the one that does not is the first, else the last.

For headers that do not list it.
"""

WINDOW_DEFAULTS: Mapping[str, int] = {"gemma2": 4096, "llama4": 8192}
"""Tokens of a window, where the header leaves it out."""

KEPT_FROM_START: Mapping[str, int] = {"gemma3n": 20}
"""Layers that have keys and values of their own; later ones use those of earlier ones."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer.

    keys, values: numbers that are kept for a token; 0: no attention, or nothing of its own. window: tokens that it
    looks back; 0: all. state: bytes that are kept for a call, however long it is.
    """

    keys: int = 0
    values: int = 0
    window: int = 0
    state: int = 0


def layers_of(header: ModelHeader) -> list[Layer]:
    """All layers, first one first; empty where the file does not say how many there are."""
    count = header.number(header.own("block_count")) - header.number(header.own("nextn_predict_layers"))
    if count <= 0 or header.embeds_only or header.architecture in NO_CACHE:
        return [Layer()] * max(0, count)
    windows, states, (keys, values) = _windows(header, count), _recurrent(header, count), _heads(header, count)
    kept = _kept(header, count)
    state = _state_bytes(header)
    found = []
    for place in range(count):
        attends = place < kept and (not states[place] or header.architecture in BOTH)
        found.append(
            Layer(
                keys[place] if attends else 0,
                values[place] if attends else 0,
                windows[place],
                state if states[place] else 0,
            )
        )
    return found


def _heads(header: ModelHeader, count: int) -> tuple[list[int], list[int]]:
    """Numbers of keys and of values of a token, by layer."""
    of = f"{header.own('attention')}."
    heads = header.numbers(f"{of}head_count", count)
    known = f"{of}head_count_kv" in header.metadata or f"{of}head_count_kv" in header.arrays
    shared = header.numbers(f"{of}head_count_kv", count) if known else heads
    width = header.embedding_dimensions // max(1, heads[0])
    windows = _windows(header, count)
    key = [_length(header, f"{of}key_length", width, windowed=bool(window)) for window in windows]
    value = [_length(header, f"{of}value_length", width, windowed=bool(window)) for window in windows]
    if header.number(f"{of}key_length_mla") and header.number(f"{of}value_length_mla"):
        value = [0] * count  # the values are a part of what is kept as keys
    return [a * b for a, b in zip(key, shared, strict=True)], [a * b for a, b in zip(value, shared, strict=True)]


def _length(header: ModelHeader, key: str, otherwise: int, *, windowed: bool) -> int:
    own = header.number(f"{key}_swa") if windowed else 0
    return own or header.number(key) or otherwise


def _windows(header: ModelHeader, count: int) -> list[int]:
    """Tokens that each layer looks back; 0: all."""
    of = header.own("attention.sliding_window")
    window = header.number(of) or WINDOW_DEFAULTS.get(header.architecture, 0)
    pattern = header.arrays.get(f"{of}_pattern", ())
    if not window:
        return [0] * count
    if pattern:
        return [window if place < len(pattern) and pattern[place] else 0 for place in range(count)]
    if header.architecture not in WINDOWS:
        return [0] * count
    period, first = WINDOWS[header.architecture]
    period = header.number(f"{of}_pattern") or period
    return [0 if place % period == (0 if first else period - 1) else window for place in range(count)]


def _recurrent(header: ModelHeader, count: int) -> list[bool]:
    """Which layers have a state."""
    architecture = header.architecture
    if architecture in RECURRENT or architecture in BOTH:
        return [True] * count
    listed = header.arrays.get(header.own("attention.recurrent_layers"), ())
    if listed:
        return [place < len(listed) and bool(listed[place]) for place in range(count)]
    if architecture in INTERVALS:
        interval = header.number(header.own("full_attention_interval")) or INTERVALS[architecture]
        return [(place + 1) % interval != 0 for place in range(count)]
    if not _state_bytes(header):
        return [False] * count
    heads = header.numbers(header.own("attention.head_count_kv"), count)
    wide = header.arrays.get(header.own("feed_forward_length"), ())
    # A layer without attention that is wide instead, as nemotron-h has them, keeps nothing.
    return [not heads[place] and not (place < len(wide) and wide[place]) for place in range(count)]


def _kept(header: ModelHeader, count: int) -> int:
    shared = header.number(header.own("attention.shared_kv_layers"))
    return count - shared if shared else KEPT_FROM_START.get(header.architecture, count)


def _state_bytes(header: ModelHeader) -> int:
    """Bytes of one layer's state for one call, at four per number; 0: the model has none."""
    width = header.embedding_dimensions
    wkv, short = header.number(header.own("wkv.head_size")), header.number(header.own("shortconv.l_cache"))
    if wkv:
        shifts = header.number(header.own("token_shift_count")) or 2
        return 4 * width * (shifts + wkv)
    if short:
        return 4 * width * (short - 1)
    heads = header.numbers(header.own("attention.head_count"), 1)[0]
    delta = header.number(header.own("kda.head_dim"))
    kernel = header.number(header.own("ssm.conv_kernel"))
    if delta:
        return 4 * (3 * (max(1, kernel or 4) - 1) * heads * delta + delta * delta * heads)
    inner, state = header.number(header.own("ssm.inner_size")), header.number(header.own("ssm.state_size"))
    groups = header.number(header.own("ssm.group_count"))
    return 4 * (max(0, kernel - 1) * (inner + 2 * groups * state) + state * inner)
