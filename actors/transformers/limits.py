"""What a model may use and will take, from its files and the settings; known without loading it."""

from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from msgspec.structs import replace

from actors.model.overrides import Overrides
from actors.transformers.folder import Facts
from actors.transformers.settings import TransformersSettings

CONTEXT_DEFAULT = 8192
"""Tokens of context where neither settings nor model ask for less."""
PARAMETERS_PER_THREAD = 50_000_000
"""Below this a second thread costs more by waiting for the first than it computes."""
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
LIBRARY_BYTES = 235_000_000
"""What a process takes for PyTorch beyond any other process, before it has a model; measured on Linux."""
CARDS = ("/dev/nvidiactl", "/dev/dxg")
"""Where the system shows an NVIDIA card, the second under WSL."""


def context_tokens(facts: Facts, settings: TransformersSettings) -> int:
    """Tokens that one call may use: never more than the model was trained for."""
    wanted = settings.context or CONTEXT_DEFAULT
    return min(wanted, facts.context_tokens or wanted)


def cache_tokens(context: int, settings: TransformersSettings) -> int:
    """Tokens that all calls together may hold: at least one call's context."""
    return max(settings.cache_tokens or 2 * context, context)


@cache
def engine() -> str:
    """The libraries and their versions."""
    found = []
    for name in ("torch", "transformers"):
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)


def overridden(settings: TransformersSettings, overrides: Overrides) -> TransformersSettings:
    """The settings, and what one process has of its own."""
    if not overrides:
        return settings
    return replace(settings, context=overrides.context or settings.context, slots=overrides.slots or settings.slots)


@cache
def finds_card() -> bool:
    """Whether PyTorch, as it is installed, can use a card that is there. Tells it without importing PyTorch."""
    try:
        built = version("torch")
    except PackageNotFoundError:
        return False
    return "+cpu" not in built and any(Path(each).exists() for each in CARDS)


def accelerated(settings: TransformersSettings) -> bool:
    """Whether models compute on a card."""
    return settings.device == "cuda" or (settings.device == "auto" and finds_card())


def dtype(facts: Facts, settings: TransformersSettings) -> str:
    """Numbers that weights and cache are kept in."""
    if settings.dtype != "auto":
        return settings.dtype
    if not accelerated(settings):
        return "float32"
    return facts.own_dtype if facts.own_dtype in BYTES else "bfloat16"


def weights_bytes(facts: Facts, settings: TransformersSettings) -> int:
    """Bytes of the weights once they are loaded: as they lie in the files only where they stay packed."""
    return facts.size_bytes if facts.packed else facts.parameters * BYTES[dtype(facts, settings)]


def cache_bytes(facts: Facts, settings: TransformersSettings) -> int:
    """Bytes of a full cache; 0 where the files do not say what the layers are, or there is no cache."""
    return facts.cache_values * BYTES[dtype(facts, settings)] * cache_tokens(context_tokens(facts, settings), settings)


def working_bytes(facts: Facts, settings: TransformersSettings) -> int:
    """Bytes of the library and of a step.

    A step is what a layer makes of a prompt's part, a layer's cache while it grows, and the logits of all answers.
    """
    size = BYTES[dtype(facts, settings)]
    activations = settings.batch * (3 * facts.widest + 8 * facts.dimensions) * size
    growing = cache_bytes(facts, settings) // facts.layers
    logits = 2 * settings.slots * facts.vocabulary * 4 if facts.generates else 0
    return LIBRARY_BYTES + activations + growing + logits


def threads(parameters: int, settings: TransformersSettings, chosen: int) -> int:
    """Threads that compute. chosen: by PyTorch itself."""
    return settings.threads or max(1, min(chosen, 1 + parameters // PARAMETERS_PER_THREAD))
