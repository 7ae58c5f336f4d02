"""Settings of the llama family: the section [actors.llama]."""

import os
from pathlib import Path

import msgspec


class LlamaSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything has a value that suits one machine with a few people; 0 means "decide by the model or the machine"."""

    context: int = 0
    """Tokens that one call may use, prompt and answer; 0: what the model was trained for, at most 8192."""
    cache_tokens: int = 0
    """Tokens that all calls together may hold in the cache; 0: twice the context."""
    slots: int = 8
    """Answers that are generated at the same time; 1 to 64."""
    batch: int = 512
    """Tokens that one engine step computes at most; 64 to 4096."""
    threads: int = 0
    """Threads of one model; 0: one per physical core."""
    gpu_layers: int = -1
    """Layers that go to the GPU, if llama.cpp was built for one; -1: all."""
    gap_seconds: float = 0.25
    """How long reading a prompt may hold up the answers that are being generated, per step."""
    answer_reserve: int = 512
    """Tokens of cache that an answer reserves ahead; more are taken as it grows."""
    queue_limit: int = 256
    """Jobs that may wait for a slot; further ones are refused with QUEUE_FULL."""
    adapter_run: int = 8
    """Steps that an adapter keeps the engine while jobs with another one wait."""
    adapter_limit: int = 32
    """Adapters that stay loaded; the one that was unused for longest makes room."""
    embedding_context: int = 2048
    """The longest input of an embedding, in tokens, where the model allows it."""
    preload: tuple[str, ...] = ("troupe-tiny",)
    """Models that are loaded at start."""
    model_folders: tuple[str, ...] = ()
    """Further folders with models; after the shipped one and TROUPE_HOME/models."""
    adapter_folders: tuple[str, ...] = ()
    """Further folders with adapters; after TROUPE_HOME/adapters."""
    load_seconds: float = 600.0
    """A model that is not served after this time counts as failed."""
    restart_limit: int = 5
    """Restarts of a model's process within `restart_window` before the model counts as failed."""
    restart_window: float = 60.0
    """Seconds; see `restart_limit`."""
    restart_backoff: float = 0.2
    """Seconds before the first restart; doubled for each further one."""

    def __post_init__(self) -> None:
        _within("slots", self.slots, 1, 64)
        _within("batch", self.batch, 64, 4096)
        _within("context", self.context, 0, 1 << 22)
        _within("cache_tokens", self.cache_tokens, 0, 1 << 26)
        _within("threads", self.threads, 0, 1024)
        _within("queue_limit", self.queue_limit, 0, 100_000)
        _within("answer_reserve", self.answer_reserve, 1, 1 << 20)
        _within("adapter_run", self.adapter_run, 1, 10_000)
        _within("adapter_limit", self.adapter_limit, 1, 1024)
        _within("embedding_context", self.embedding_context, 32, 1 << 20)
        _within("restart_limit", self.restart_limit, 0, 1000)
        _within("gap_seconds", self.gap_seconds, 0.001, 60.0)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"`{name}` is {value:g}; it must be from {low:g} to {high:g}")


def default_threads() -> int:
    """Threads that serve one model best: the physical cores this process may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(usable, _physical_cores() or usable))


def _physical_cores() -> int:
    """Physical cores as Linux tells them; 0 where it does not."""
    found = set()
    for core in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/topology/thread_siblings_list"):
        found.add(core.read_text().strip())
    return len(found)
