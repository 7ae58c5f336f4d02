"""Settings of the transformers family: the section [actors.transformers]."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Seconds = Annotated[float, Meta(ge=0)]


class TransformersSettings(Struct, frozen=True, kw_only=True):
    """Every key has a value that suits one machine with a few people; 0 lets the model or the machine decide."""

    context: Annotated[int, Meta(ge=0, le=1 << 22)] = 0
    """Tokens that one call may use, prompt and answer; 0: what the model was trained for, at most 8192."""

    cache_tokens: Annotated[int, Meta(ge=0, le=1 << 26)] = 0
    """Tokens that all calls together may hold in the cache, the shorter ones padded; 0: twice the context."""

    slots: Annotated[int, Meta(ge=1, le=64)] = 8
    """Answers that are generated at the same time."""

    batch: Annotated[int, Meta(ge=16, le=4096)] = 256
    """Tokens of a prompt, or of texts to embed, that one step computes at most."""

    threads: Annotated[int, Meta(ge=0, le=1024)] = 0
    """Threads of one model; 0: as PyTorch chooses, but no more than one for each 50 million parameters begun."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models compute; "auto": on an NVIDIA card where PyTorch was built for one and finds it."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Numbers that weights are kept in; "auto": float32 on the processor, the model's own on a card."""

    gguf: bool = False
    """Offer the GGUF files of the models' folders too, as transformers/NAME, with weights unpacked to `dtype`."""

    queue_limit: Annotated[int, Meta(ge=0, le=100_000)] = 256
    """Jobs that may wait for a slot; further ones are refused with QUEUE_FULL."""

    adapter_limit: Annotated[int, Meta(ge=1, le=1024)] = 16
    """Adapters that stay loaded in a process; the one that was unused for longest makes room."""

    embedding_context: Annotated[int, Meta(ge=32, le=1 << 20)] = 2048
    """The longest input of an embedding, in tokens, where the model allows it."""

    preload: list[str] = field(default_factory=list)
    """Models that are loaded at start; others load at the first call."""

    model_folders: list[str] = field(default_factory=list)
    """Further folders with models; after TROUPE_HOME/models."""

    adapter_folders: list[str] = field(default_factory=list)
    """Further folders with adapters; after TROUPE_HOME/adapters."""

    spare: bool = True
    """Keep a process ready for the next load, from the first load on, as long as main memory has room for it."""

    load_seconds: Seconds = 600.0
    """A model that is not served after this time counts as failed."""

    drain_seconds: Seconds = 10.0
    """How long running calls may take to end when a model is unloaded."""

    max_restarts: Annotated[int, Meta(ge=0)] = 5
    """More restarts of a model's process than this within the window, and the model is left alone as failed."""

    restart_window_seconds: Annotated[float, Meta(gt=0)] = 60.0
    """Over which restarts are counted."""
