"""Settings of the llama family: the section [actors.llama]."""

import os
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct, field

Seconds = Annotated[float, Meta(ge=0)]


class LlamaSettings(Struct, frozen=True, kw_only=True):
    """Every key has a value that suits one machine with a few people; 0 lets the model or the machine decide."""

    context: Annotated[int, Meta(ge=0, le=1 << 22)] = 0
    """Tokens that one call may use, prompt and answer; 0: what the model was trained for, at most 8192."""

    cache_tokens: Annotated[int, Meta(ge=0, le=1 << 26)] = 0
    """Tokens that all calls together may hold in the cache; 0: twice the context.

    With `slots` times `context` or more, a CPU gives each slot a part of its own, which is faster while many answer at
    once.
    """

    slots: Annotated[int, Meta(ge=1, le=64)] = 8
    """Answers that are generated at the same time."""

    batch: Annotated[int, Meta(ge=64, le=4096)] = 512
    """Tokens that one engine step computes at most."""

    threads: Annotated[int, Meta(ge=0, le=1024)] = 0
    """Threads of one model; 0: one per physical core.

    But no more than one for each 50 million parameters begun, so that very small models use one.
    """

    gpu_layers: int = -1
    """Layers that go to the GPU, if llama.cpp was built for one; -1: all."""

    gap_seconds: Annotated[float, Meta(gt=0, le=60)] = 0.25
    """How long reading a prompt may hold up the answers that are being generated, per step."""

    answer_reserve: Annotated[int, Meta(ge=1, le=1 << 20)] = 512
    """Tokens of cache that an answer reserves ahead; more are taken as it grows."""

    queue_limit: Annotated[int, Meta(ge=0, le=100_000)] = 256
    """Jobs that may wait for a slot; further ones are refused with QUEUE_FULL."""

    adapter_run: Annotated[int, Meta(ge=1, le=10_000)] = 8
    """Steps that an adapter keeps the engine while jobs with another one wait."""

    adapter_limit: Annotated[int, Meta(ge=1, le=1024)] = 32
    """Adapters that stay loaded in a process; the one that was unused for longest makes room."""

    embedding_context: Annotated[int, Meta(ge=32, le=1 << 20)] = 2048
    """The longest input of an embedding, in tokens, where the model allows it."""

    preload: list[str] = field(default_factory=lambda: ["troupe-tiny"])
    """Models that are loaded at start; others load at the first call."""

    model_folders: list[str] = field(default_factory=list)
    """Further folders with models; after the shipped one and TROUPE_HOME/models."""

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


def physical_cores() -> int:
    """The physical cores that this process may use; where the system does not tell them, its processors."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    siblings = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/topology/thread_siblings_list")
    cores = {path.read_text().strip() for path in siblings}
    return min(usable, len(cores) or usable)
