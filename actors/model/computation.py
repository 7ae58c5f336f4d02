"""How much memory llama.cpp reserves for one computation, from the shapes in a model's header.

The tensors of a computation are laid out as llama.cpp lays them out (`graph_memory.Plan`), for the kinds of layers that
models are made of: attention with gated or plain feed-forward, experts, and recurrent ones. What an architecture has
besides is small beside them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from actors.model.gguf_header import ModelHeader, Tensor
from actors.model.graph_memory import Block, Plan
from actors.model.layers import Layer

FLOAT, HALF = 4, 2
"""Bytes of a number: computed ones, and those of masks and caches."""
LASTING = 1 << 30
"""Uses of an input that is needed to the end."""
TILE = 64
"""Rows and cells of which attention computes a part at a time."""


@dataclass(frozen=True, slots=True)
class Computation:
    """What is computed at once.

    tokens: rows that go in. outputs: rows that come out. sequences: calls that they may belong to. masks: for each kind
    of attention, how many cells each row may look at. cached: keys and values are kept, else they are computed anew
    with each input.
    """

    tokens: int
    outputs: int
    sequences: int
    masks: Sequence[int]
    cached: bool = True


@dataclass(frozen=True, slots=True)
class Shapes:
    """Widths of one layer's tensors; 0: it has none of the kind. projected: of a recurrent layer's first product."""

    width: int
    queries: int = 0
    keys: int = 0
    wide: int = 0
    gated: bool = True
    experts: int = 0
    chosen: int = 0
    expert_width: int = 0
    projected: int = 0
    inner: int = 0


def shapes_of(header: ModelHeader, count: int) -> list[Shapes]:
    """The widths of each of `count` layers, from the axes of its tensors."""
    by_layer: dict[int, dict[str, Tensor]] = {place: {} for place in range(count)}
    for tensor in header.tensors:
        if tensor.layer in by_layer:
            by_layer[tensor.layer][tensor.name.split(".", 2)[2].removesuffix(".weight")] = tensor
    chosen = header.numbers(header.own("expert_used_count"), count)
    return [_shapes(header.embedding_dimensions, by_layer[place], chosen[place]) for place in range(count)]


def _shapes(width: int, tensors: dict[str, Tensor], chosen: int) -> Shapes:
    def out(*names: str) -> int:
        return next((each.axes[1] for name in names if (each := tensors.get(name)) and len(each.axes) > 1), 0)

    output = tensors.get("attn_output")
    queries = output.axes[0] if output else 0
    experts = tensors.get("ffn_gate_inp")
    return Shapes(
        width=width,
        queries=max(queries, out("attn_q", "attn_q_b")),
        keys=out("attn_k", "attn_kv_a_mqa") or max(0, out("attn_qkv") - queries) // 2,
        wide=out("ffn_gate", "ffn_up", "ffn_gate_shexp"),
        gated="ffn_gate" in tensors or "ffn_gate_shexp" in tensors,
        experts=experts.axes[-1] if experts and len(experts.axes) > 1 else 0,
        chosen=chosen,
        expert_width=out("ffn_up_exps", "ffn_gate_exps") or out("ffn_gate_up_exps") // 2,
        projected=out("ssm_in", "shortconv.in_proj", "attn_qkv" if "ssm_out" in tensors else ""),
        inner=max(out("ssm_dt"), *(each.axes[0] for name, each in tensors.items() if name in INNER), 0),
    )


INNER = ("ssm_out", "shortconv.out_proj")
"""Tensors whose rows are as wide as a recurrent layer is inside."""


def buffer_bytes(header: ModelHeader, layers: Sequence[Layer], vocabulary: int, run: Computation) -> int:
    """Bytes of the buffer in which all tensors of a computation lie."""
    return _layout(header, layers, vocabulary, run).peak


def input_bytes(header: ModelHeader, run: Computation) -> int:
    """Bytes of what goes into a computation: tokens or their vectors, positions, places in the cache, masks."""
    masks = sum(HALF * cells * run.tokens for cells in run.masks)
    return run.tokens * (4 + 4 + 16 * len(run.masks) + FLOAT * header.embedding_dimensions) + 4 * run.outputs + masks


def _layout(header: ModelHeader, layers: Sequence[Layer], vocabulary: int, run: Computation) -> Plan:
    plan, width, tokens = Plan(), header.embedding_dimensions, run.tokens
    words = plan.make(4 * tokens)
    plan.make(FLOAT * width * tokens, uses=LASTING)  # vectors in place of tokens, for models that are given some
    plan.make(4 * tokens + 4 * run.outputs, uses=LASTING)
    for cells in run.masks:
        plan.make((16 if run.cached else 0) * tokens, uses=LASTING)
        plan.make(HALF * cells * tokens, uses=LASTING)
    stream = plan.make(FLOAT * width * tokens, words, uses=2)
    shapes = shapes_of(header, len(layers))
    for place, (layer, shape) in enumerate(zip(layers, shapes, strict=True)):
        rows = run.outputs if place == len(layers) - 1 else tokens
        mixed = _mixed(plan, shape, layer, run, stream)
        if rows != tokens:
            mixed, stream = plan.make(FLOAT * width * rows, mixed), plan.make(FLOAT * width * rows, stream)
        stream = plan.over(mixed, stream, uses=2)
        stream = _widened(plan, shape, rows, stream)
    stream.uses = 1
    plan.make(FLOAT * vocabulary * run.outputs, plan.over(stream))
    return plan


def _mixed(plan: Plan, shape: Shapes, layer: Layer, run: Computation, stream: Block) -> Block:
    """The half of a layer in which tokens look at each other. Lets the stream go once."""
    if shape.inner and not layer.keys:
        return _recurrent(plan, shape, layer, run, stream)
    if not shape.queries:
        return plan.make(stream.size, stream)
    tokens = run.tokens
    normed = plan.make(FLOAT * shape.width * tokens, stream, uses=3)
    queries = plan.make(FLOAT * shape.queries * tokens, normed)
    queries = plan.make(FLOAT * shape.queries * tokens, queries)  # turned by position, or normed
    values = plan.make(FLOAT * shape.keys * tokens, normed)
    keys = plan.make(FLOAT * shape.keys * tokens, normed)
    keys = plan.make(FLOAT * shape.keys * tokens, keys)
    if not run.cached:
        keys, values = (plan.make(HALF * shape.keys * tokens, each) for each in (keys, values))
        looked = plan.make(FLOAT * shape.queries * tokens, queries, keys, values)
    else:
        plan.let_go(keys, values)
        looked = plan.make(FLOAT * shape.queries * tokens, queries)
    return plan.make(FLOAT * shape.width * tokens, looked)


def _recurrent(plan: Plan, shape: Shapes, layer: Layer, run: Computation, stream: Block) -> Block:
    """A layer with a state: what went before is put in front of its input, and the state comes out with the result."""
    tokens, state = run.tokens, layer.state * run.sequences
    before = plan.make(state, uses=1)
    normed = plan.make(FLOAT * shape.width * tokens, stream)
    projected = plan.make(FLOAT * shape.projected * tokens, normed, uses=2)
    joined = plan.make(FLOAT * shape.inner * tokens + state // 8, before, projected)
    turned = plan.make(FLOAT * shape.inner * tokens, joined, uses=2)
    steps = plan.make(FLOAT * shape.inner * tokens, turned)
    scanned = plan.make(FLOAT * shape.inner * tokens + state, steps, turned)
    gated = plan.make(FLOAT * shape.inner * tokens, scanned, projected)
    return plan.make(FLOAT * shape.width * tokens, gated)


def _widened(plan: Plan, shape: Shapes, rows: int, stream: Block) -> Block:
    """The half of a layer in which each token is by itself. Lets the stream go."""
    if not shape.wide and not shape.expert_width:
        return stream
    normed = plan.make(FLOAT * shape.width * rows, stream, uses=1 + (1 if shape.wide and shape.expert_width else 0))
    made = []
    if shape.expert_width:
        made.append(_experts(plan, shape, rows, normed))
    if shape.wide:
        made.append(_gated(plan, shape.wide * rows, shape.width * rows, normed, gated=shape.gated))
    first, *rest = made
    return plan.over(first, stream, *rest, uses=2)


def _gated(plan: Plan, wide: int, narrow: int, normed: Block, *, gated: bool) -> Block:
    if not gated:
        return plan.make(FLOAT * narrow, plan.over(plan.make(FLOAT * wide, normed)))
    normed.uses += 1
    gate, up = plan.make(FLOAT * wide, normed), plan.make(FLOAT * wide, normed)
    return plan.make(FLOAT * narrow, plan.make(FLOAT * wide, gate, up))


def _experts(plan: Plan, shape: Shapes, rows: int, normed: Block) -> Block:
    normed.uses += 1
    scores = plan.make(FLOAT * shape.experts * rows, normed, uses=2)
    order = plan.make(FLOAT * shape.experts * rows, scores, uses=4)
    weights = plan.make(FLOAT * shape.chosen * rows, scores, order)
    many = FLOAT * shape.chosen * rows
    normed.uses += 1
    gate, up = plan.make(many * shape.expert_width, normed, order), plan.make(many * shape.expert_width, normed, order)
    down = plan.make(many * shape.width, plan.make(many * shape.expert_width, gate, up), order)
    return plan.make(FLOAT * shape.width * rows, plan.over(down, weights))


def work_bytes(header: ModelHeader, run: Computation, threads: int) -> int:
    """Bytes in which the processors prepare what they multiply, and look at cells: the most that one product needs."""
    products = [_prepared(tensor, run.tokens) for tensor in header.tensors if len(tensor.axes) > 1]
    of = f"{header.own('attention')}."
    heads = max(1, *header.numbers(f"{of}head_count", 1))
    width = header.number(f"{of}key_length") or header.embedding_dimensions // heads
    looking = FLOAT * (4 * TILE * width + 2 * TILE * TILE) * threads if run.masks else 0
    return max([looking, *products])


def _prepared(tensor: Tensor, rows: int) -> int:
    """A product's other side, in the form that the type of its matrix is multiplied with."""
    if tensor.kind == 0 or tensor.name.startswith("token_embd"):
        return 0
    width = tensor.axes[0]
    if tensor.kind in (1, 30):
        return HALF * width * rows
    return width // 32 * 36 * rows
