"""What a model takes, the ways to take less, and how the stage is asked."""

from actors.llama.engine_limits import loading, replaced
from actors.llama.footprint import Footprint
from actors.llama.settings import LlamaSettings
from actors.model.gguf_header import ModelHeader, Tensor
from actors.model.needs import PROCESS_BYTES, Choice, needs_of, work_of
from forge.architectures import Sizes, llama
from forge.blueprint import Type, nbytes
from troupe.family.v1 import Needs, Way
from troupe.gpu.v1 import DeviceKind

SIZES = Sizes(
    layers=8, width=1024, feed_forward=2048, heads=8, kv_heads=4, head_width=128, vocabulary=4096, kind=Type.Q8_0
)
FOOTPRINT = Footprint(process=70_000_000, on="here")


def header(sizes: Sizes = SIZES) -> ModelHeader:
    """As it would be read from the blueprint's file."""
    blueprint = llama(sizes)
    metadata = {f"llama.{key}": value for key, value in blueprint.keys.items() if isinstance(value, int | float)}
    tensors = [Tensor(name, axes, int(kind), 0, nbytes(axes, kind)) for name, (axes, kind) in blueprint.tensors.items()]
    return ModelHeader({"general.architecture": "llama", **metadata}, 0, 0, tensors)


def needs(*, offloads: bool = False, **settings: int) -> Needs:
    own = LlamaSettings(**settings)  # type: ignore[arg-type]  # all of them are numbers
    choice = Choice(own.context or 8192, own.slots, own.gpu_layers)
    found = header()

    def plan(other: Choice):  # type: ignore[no-untyped-def]  # noqa: ANN202 - what `needs_of` takes
        return loading(found, replaced(own, choice, other), FOOTPRINT, offloads=offloads)

    return needs_of(found, choice, plan, "key")


def by_note(found: Needs) -> dict[str, Way]:
    return {way.note: way for way in found.ways}


def test_the_first_way_is_as_the_settings_say_and_every_other_takes_less() -> None:
    first, *others = needs().ways
    assert first.note == "" and others and len(others) < 16
    assert all(other.host_bytes < first.host_bytes and other.note for other in others)
    assert len({other.note for other in others}) == len(others)


def test_shorter_contexts_and_fewer_answers_are_ways_of_their_own() -> None:
    ways = by_note(needs(context=8192))
    per_token = 8 * 2 * 4 * 128 * 2
    saved = ways[""].host_bytes - ways["with 4,096 tokens of context (context = 4096)"].host_bytes
    assert saved >= 2 * 4096 * per_token
    assert (
        ways["with 2,048 tokens of context (context = 2048)"].host_bytes
        < ways["with 4,096 tokens of context (context = 4096)"].host_bytes
    )
    assert ways["one answer at a time (slots = 1)"].host_bytes < ways[""].host_bytes


def test_a_smaller_quantization_is_advice_since_it_is_another_file() -> None:
    small = by_note(needs())["in a smaller quantization (Q4_K_M)"]
    matrices = sum(tensor.size for tensor in header().tensors if len(tensor.axes) > 1)
    assert small.another_file
    saved = by_note(needs())[""].host_bytes - small.host_bytes
    assert 0.9 < saved / (matrices * (1 - 144 / 272)) < 1.1


def test_on_a_card_the_process_still_takes_main_memory_and_layers_may_stay_there() -> None:
    found = needs(offloads=True)
    whole, ways = found.ways[0], by_note(found)
    assert found.accelerator and whole.spread
    assert FOOTPRINT.process < whole.host_bytes < FOOTPRINT.process + 60_000_000
    part = ways["with 4 of 8 layers on the CPU (gpu_layers = 4)"]
    assert 0 < part.accelerator_bytes < whole.accelerator_bytes and part.host_bytes > whole.host_bytes
    assert ways["on the CPU alone (gpu_layers = 0)"].accelerator_bytes == 0


def test_layers_are_told_one_by_one() -> None:
    found = needs()
    assert len(found.layer_bytes) == 8 and len(set(found.layer_bytes)) == 1
    assert sum(found.layer_bytes) < found.weights_bytes


def test_the_stage_is_asked_for_every_way_by_kind_of_memory() -> None:
    work = work_of("llama", "m", needs(offloads=True))
    card, main = work.variants[0].sizes
    assert (work.name, work.key) == ("llama/m", "key")
    assert (card.kind, main.kind) == (DeviceKind.DEVICE_KIND_NVIDIA, DeviceKind.DEVICE_KIND_SYSTEM)
    assert work.variants[0].spread and [variant.note for variant in work.variants[1:]]
    assert {size.kind for size in work_of("llama", "m", needs()).variants[0].sizes} == {DeviceKind.DEVICE_KIND_SYSTEM}


def test_a_family_that_tells_sums_alone_is_placed_by_them() -> None:
    work = work_of("words", "m", Needs(weights_bytes=10, cache_bytes=5, working_bytes=1, accelerator=True))
    [variant] = work.variants
    assert [(size.kind, size.bytes) for size in variant.sizes] == [
        (DeviceKind.DEVICE_KIND_NVIDIA, 16),
        (DeviceKind.DEVICE_KIND_SYSTEM, PROCESS_BYTES),
    ]
    assert work.key
