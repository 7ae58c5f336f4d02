"""What a model may use, from its file and the settings; known without loading it."""

from actors.llama.settings import LlamaSettings, physical_cores
from actors.model.gguf_file import ModelHeader

CONTEXT_DEFAULT = 8192
"""Tokens of context where neither settings nor model ask for less."""

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


def cache_bytes(header: ModelHeader, settings: LlamaSettings) -> int:
    """Bytes of the cache; 0 where the file does not say what its layers are, or there is no cache."""
    return header.cache_bytes_per_token * cache_tokens(header, settings)


def cache_is_parted(header: ModelHeader, settings: LlamaSettings) -> bool:
    """There is room for as many whole contexts as slots: each slot then has a part of the cache for itself.

    Otherwise all slots share one cache, where a call may use what others leave, and where each token looks over the
    cells of all of them.
    """
    return cache_tokens(header, settings) >= settings.slots * context_tokens(header, settings)
