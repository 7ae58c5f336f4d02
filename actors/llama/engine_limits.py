"""What a model may use, from its file and the settings; known without loading it."""

from msgspec.structs import replace

from actors.llama.footprint import Footprint
from actors.llama.settings import LlamaSettings, physical_cores
from actors.model.gguf_header import ModelHeader
from actors.model.memory import Context, Loading, vocabulary_size
from actors.model.needs import Choice
from actors.model.overrides import Overrides

CONTEXT_DEFAULT = 8192
"""Tokens of context where neither settings nor model ask for less."""

UBATCH = 512
"""Tokens that llama.cpp computes at once, at most."""

PARAMETERS_PER_THREAD = 50_000_000
"""Below this a second thread costs more by waiting for the first than it computes."""


def threads(header: ModelHeader, settings: LlamaSettings) -> int:
    """Threads that compute: the physical cores, fewer for very small models."""
    return settings.threads or min(physical_cores(), 1 + header.parameters // PARAMETERS_PER_THREAD)


def context_tokens(header: ModelHeader, settings: LlamaSettings) -> int:
    """Tokens that one call may use: never more than the model was trained for."""
    wanted = settings.context or CONTEXT_DEFAULT
    return min(wanted, header.context_tokens or wanted)


def embedding_tokens(header: ModelHeader, settings: LlamaSettings) -> int:
    """The longest input of an embedding."""
    return min(settings.embedding_context, header.context_tokens or settings.embedding_context)


def cache_tokens(header: ModelHeader, settings: LlamaSettings) -> int:
    """Tokens that all calls together may hold: at least one call's context."""
    context = context_tokens(header, settings)
    return max(settings.cache_tokens or 2 * context, context)


def cache_is_parted(header: ModelHeader, settings: LlamaSettings) -> bool:
    """There is room for as many whole contexts as slots: each slot then has a part of the cache for itself.

    Otherwise all slots share one cache, where a call may use what others leave, and where each token looks over the
    cells of all of them.
    """
    return cache_tokens(header, settings) >= settings.slots * context_tokens(header, settings)


SEQUENCES = 16
"""Inputs of an embedding that are computed together."""
OUTPUT_BYTES = 128 << 20
"""llama.cpp keeps a row of logits for every token of a batch, wanted or not.

This bounds the batch of large vocabularies.
"""


def answering(header: ModelHeader, settings: LlamaSettings, *, parted: bool) -> Context:
    """The memory for calls that continue a text; a model that cannot still gets the least there is."""
    cells = settings.batch if header.embeds_only else cache_tokens(header, settings)
    batch = min(settings.batch, UBATCH)
    encodes = header.embeds_only
    return Context(cells, settings.slots, batch, settings.slots, parted and not encodes, idle=encodes)


def embedding(header: ModelHeader, settings: LlamaSettings) -> Context:
    """The memory for embeddings: a model that pools takes whole inputs, any other one takes them in pieces.

    The cells hold the longest input that is under way, and a batch of others.
    """
    context = embedding_tokens(header, settings)
    room = OUTPUT_BYTES // (4 * max(1, vocabulary_size(header)))
    batch = context if header.pooling else max(32, min(UBATCH, room))
    return Context(context + batch, SEQUENCES, batch, batch, vectors=True)


def loading(
    header: ModelHeader, settings: LlamaSettings, footprint: Footprint, *, offloads: bool = False, more: int = 0
) -> Loading:
    """How a model is loaded under these settings.

    offloads: a card is used. more: bytes of adapters that may be added.
    """
    layers = settings.gpu_layers if offloads else 0
    return Loading(
        contexts(header, settings, accelerated=layers != 0),
        threads(header, settings),
        layers,
        footprint.copied,
        footprint.process,
        more,
    )


def replaced(settings: LlamaSettings, now: Choice, other: Choice) -> LlamaSettings:
    """The settings with another choice in them; a cache that is set to a size shrinks with the context."""
    cache = settings.cache_tokens * other.context // max(1, now.context)
    if other.slots < now.slots and not settings.cache_tokens:
        cache = other.context * min(2, other.slots)
    return replace(settings, context=other.context, slots=other.slots, gpu_layers=other.layers, cache_tokens=cache)


def overridden(settings: LlamaSettings, overrides: Overrides) -> LlamaSettings:
    """The settings, and what one process has of its own."""
    if not overrides:
        return settings
    return replace(settings, context=overrides.context or settings.context, slots=overrides.slots or settings.slots)


def contexts(header: ModelHeader, settings: LlamaSettings, *, accelerated: bool) -> list[Context]:
    """All that the engine makes for this model when it is loaded."""
    parted = not accelerated and cache_is_parted(header, settings)
    answers = answering(header, settings, parted=parted)
    return [answers, embedding(header, settings)] if header.embeds else [answers]
