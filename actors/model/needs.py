"""What a model takes, as the contract tells it, and as the stage is asked for it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from actors.model.gguf_header import ModelHeader, Tensor
from actors.model.memory import Estimate, Loading, estimate
from actors.model.overrides import parted
from troupe.family.v1 import Needs, Way
from troupe.gpu.v1 import DeviceKind, Size, Variant, Work

PROCESS_BYTES = 150_000_000
"""What a process takes before it has a model, where that was not measured: the interpreter and the libraries."""

WAYS_LIMIT = 16
"""Ways that the stage hears of at most."""
LEAST_CONTEXT = 1024
"""Tokens; a shorter context is no advice."""
LAYERS_LIMIT = 1024
SMALL_KIND, SMALL_BLOCK, SMALL_BYTES = 12, 256, 144
"""Q4_K: the type of most tensors of a Q4_K_M file, and its bytes for a block of so many numbers."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What the settings say that decides about memory.

    context: tokens of one call. slots: calls at a time. layers: on an accelerator, -1: all.
    """

    context: int
    slots: int
    layers: int


Plan = Callable[[Choice], Loading]
"""How a model is loaded under a choice."""


def needs_of(header: ModelHeader, choice: Choice, plan: Plan, key: str) -> Needs:
    """What the model takes, and with what less it would do."""
    first = estimate(header, plan(choice))
    part = _both(first)
    return Needs(
        weights_bytes=part["weights"],
        cache_bytes=part["cache"],
        state_bytes=part["state"],
        working_bytes=part["computing"] + part["outputs"],
        process_bytes=first.process + first.vocabulary,
        later_bytes=first.more,
        accelerator=first.accelerator_bytes > 0,
        ways=_ways(header, first, choice, plan),
        key=key[:512],
        layer_bytes=first.layers[:LAYERS_LIMIT],
    )


def work_of(family: str, name: str, needs: Needs) -> Work:
    """The work of a model, by whichever process it will run in.

    Everybody who wants the model names the same work, so that the stage joins them. A family that tells no ways has its
    models placed by the sum of what it tells; what can use an accelerator then takes of the main memory what its
    process does.
    """
    ways = list(needs.ways) or [_plain(needs)]
    variants = [Variant(sizes=_sizes(way), spread=way.spread, note=way.note) for way in ways if _size(way) > 0]
    key = needs.key or f"{family}/{name}/{needs.weights_bytes}/{needs.cache_bytes}/{needs.accelerator}"
    # What runs beside the model, to be measured, gives way to anybody.
    beside = parted(name)[0] != name
    return Work(name=f"{family}/{name}", variants=variants[:WAYS_LIMIT], key=key[-512:], preemptible=beside)


def _plain(needs: Needs) -> Way:
    size = needs.weights_bytes + needs.cache_bytes + needs.working_bytes + needs.state_bytes + needs.later_bytes
    process = needs.process_bytes or PROCESS_BYTES
    return Way(
        accelerator_bytes=size if needs.accelerator else 0, host_bytes=process + (0 if needs.accelerator else size)
    )


def _sizes(way: Way) -> Iterator[Size]:
    if way.accelerator_bytes:
        yield Size(kind=DeviceKind.DEVICE_KIND_NVIDIA, bytes=way.accelerator_bytes)
    yield Size(kind=DeviceKind.DEVICE_KIND_SYSTEM, bytes=way.host_bytes)


def _both(found: Estimate) -> dict[str, int]:
    names = ("weights", "cache", "state", "computing", "outputs")
    return {name: getattr(found.host, name) + getattr(found.accelerator, name) for name in names}


def _ways(header: ModelHeader, first: Estimate, choice: Choice, plan: Plan) -> list[Way]:
    """The first way, then those that take less than it, each with one thing changed or two."""
    whole = _way(first, "")
    found = [whole]
    for note, other, less in _less(header, choice, first):
        way = _way(estimate(less, plan(other)), note, another_file=less is not header)
        if _size(way) < _size(whole) or way.accelerator_bytes < whole.accelerator_bytes:
            found.append(way)
    return found[:WAYS_LIMIT]


def _size(way: Way) -> int:
    return way.accelerator_bytes + way.host_bytes


def _way(found: Estimate, note: str, *, another_file: bool = False) -> Way:
    return Way(
        accelerator_bytes=found.accelerator_bytes,
        host_bytes=found.host_bytes,
        spread=found.accelerator_bytes > 0,
        note=note,
        another_file=another_file,
    )


def _less(header: ModelHeader, choice: Choice, first: Estimate) -> Iterator[tuple[str, Choice, ModelHeader]]:
    """What could be changed, the mildest change first; in brackets by which keys of the family's settings."""
    if choice.slots > 1:
        yield "one answer at a time (slots = 1)", replace(choice, slots=1), header
    context = choice.context // 2
    while context >= LEAST_CONTEXT:
        yield f"with {context:,} tokens of context (context = {context})", replace(choice, context=context), header
        context //= 2
    shortest = replace(choice, context=min(choice.context, LEAST_CONTEXT), slots=1)
    both = f"(context = {shortest.context}, slots = 1)"
    if choice.slots > 1 and choice.context > shortest.context:
        yield f"with {shortest.context:,} tokens of context and one answer at a time {both}", shortest, header
    small = _smaller(header)
    if small is not None:
        yield "in a smaller quantization (Q4_K_M)", choice, small
        yield f"in Q4_K_M with {shortest.context:,} tokens of context, one answer at a time {both}", shortest, small
    if first.accelerator_bytes:
        count = len(first.layers)
        for eighths in (6, 4, 2):
            kept = count * eighths // 8
            away = f"with {count - kept} of {count} layers on the CPU (gpu_layers = {kept})"
            yield away, replace(choice, layers=kept), header
        yield "on the CPU alone (gpu_layers = 0)", replace(choice, layers=0), header


def _smaller(header: ModelHeader) -> ModelHeader | None:
    """The same model with its large matrices in Q4_K; None where it is not larger than that."""
    tensors = [_packed(tensor) for tensor in header.tensors]
    size, before = sum(each.size for each in tensors), sum(each.size for each in header.tensors)
    return replace(header, tensors=tensors, size_bytes=header.size_bytes - before + size) if size < before else None


def _packed(tensor: Tensor) -> Tensor:
    elements = 1
    for axis in tensor.axes:
        elements *= axis
    size = elements // SMALL_BLOCK * SMALL_BYTES
    if len(tensor.axes) < 2 or tensor.axes[0] % SMALL_BLOCK or tensor.size <= size:
        return tensor
    return replace(tensor, kind=SMALL_KIND, size=size)
