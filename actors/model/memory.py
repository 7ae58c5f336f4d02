"""How much memory a model takes, from its header and how it is to be loaded. Nothing is loaded, and nothing is fitted.

Weights are what the tensors claim, by layer and device. What is remembered of calls follows from `layers`, buffers from
`computation`, the vocabulary from the sizes of the C++ objects that hold it. The one number that is measured is what a
process of the family takes before it has a model (`Loading.process`), once on each machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from actors.model.computation import HALF, Computation, buffer_bytes, input_bytes, work_bytes
from actors.model.gguf_header import ModelHeader
from actors.model.layers import Layer, layers_of

PAD = 256
"""A cache has a multiple of so many cells."""
LOGIT = 4
"""Bytes of one number that comes out."""

TOKEN_OBJECTS = 40 + 32 + 64 + 16 + 16
"""Bytes for each token of a vocabulary.

Its entry (a string of 32, a score, flags), its bytes as text (a string), its place in the hash table of texts (a node
of 56 in a block of 64, and two buckets), and in the list that an answer is chosen from (a number, a candidate of 12).
"""
MERGE_OBJECTS = 96 + 16
"""Bytes for each merge: a node with two strings and a rank (88 in a block of 96), and two buckets."""
CELL_OBJECTS = 4 + 8 + 32 + 40 + 48
"""Bytes for each cell of a cache: position, shift, the calls that it belongs to as 256 bits, and two nodes of trees.

Cells in use are kept in two orders.
"""


@dataclass(frozen=True, slots=True)
class Context:
    """Memory for calls as llama.cpp makes it.

    cells: of the cache, for all calls together. sequences: calls at a time.
    batch: tokens that are computed at once. outputs: rows that may come out at once. parted: each call has a part of
    the cache for itself. vectors: embeddings come out besides. idle: it is made and never computed with.
    """

    cells: int
    sequences: int
    batch: int
    outputs: int
    parted: bool = False
    vectors: bool = False
    idle: bool = False


@dataclass(frozen=True, slots=True)
class Loading:
    """How a model is loaded.

    contexts: one for answers, one for embeddings, as there are. accelerated: layers on an accelerator, counted from the
    last one, the output as one more; 0: none, -1: all. copied: types of tensors whose matrices the library copies into
    another order on the CPU. process: bytes of the process without the model. more: bytes that may be added later, as
    adapters.
    """

    contexts: Sequence[Context]
    threads: int = 1
    accelerated: int = 0
    copied: frozenset[int] = frozenset()
    process: int = 0
    more: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes on one kind of device.

    weights: by layer in `Estimate.layers`, their sum here. cache: keys and values.
    state: of recurrent layers. computing: buffers of computations. outputs: what comes out.
    """

    weights: int = 0
    cache: int = 0
    state: int = 0
    computing: int = 0
    outputs: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.cache + self.state + self.computing + self.outputs


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a model takes, in bytes. host: of main memory, without `process`. accelerator: of cards.

    layers: weights of each layer, wherever they are. process: of the process without a model. vocabulary: of what the
    library and the engine know of each token. more: what may be added later.
    """

    host: Part
    accelerator: Part
    layers: Sequence[int] = field(default_factory=tuple)
    process: int = 0
    vocabulary: int = 0
    more: int = 0

    @property
    def host_bytes(self) -> int:
        """Main memory that the process takes."""
        return self.host.total + self.process + self.vocabulary + self.more

    @property
    def accelerator_bytes(self) -> int:
        """Memory of cards that it takes."""
        return self.accelerator.total


def estimate(header: ModelHeader, loading: Loading) -> Estimate:
    """What the model takes if it is loaded so."""
    layers = layers_of(header)
    first = first_accelerated(len(layers), loading.accelerated)
    weights = _layer_weights(header, len(layers))
    host_weights, card_weights = _weights(header, weights, first, loading)
    host, card = [Part(weights=host_weights)], [Part(weights=card_weights)]
    for context in loading.contexts:
        on_host, on_card = _context(header, layers, first, context, loading.threads)
        host.append(on_host)
        card.append(on_card)
    return Estimate(_sum(host), _sum(card), weights, loading.process, vocabulary_bytes(header), loading.more)


def later_bytes(header: ModelHeader, contexts: Sequence[Context], threads: int) -> int:
    """Main memory that comes with the first calls only, besides buffers of computations.

    That is the outputs of embeddings, what is known of cells in use, and what is prepared for products.
    """
    layers, size = layers_of(header), 0
    for context in contexts:
        if not context.idle:
            host, _ = _context(header, layers, len(layers) + 1, context, threads)
            plain = sum((layer.keys + layer.values) * HALF for layer in layers) * cache_cells(context)
            run = _computation(layers, context, _cells_of_one(context))
            size += host.cache - plain + work_bytes(header, run, threads)
            size += host.outputs if context.vectors else 0
    return size


def vocabulary_size(header: ModelHeader) -> int:
    """How many tokens it knows."""
    listed = header.texts.get("tokenizer.ggml.tokens")
    table = header.tensor("token_embd.weight")
    return listed.count if listed else table.axes[-1] if table else header.number(header.own("vocab_size"))


def vocabulary_bytes(header: ModelHeader) -> int:
    """What the library and the engine keep for its tokens and merges."""
    tokens, merges = header.texts.get("tokenizer.ggml.tokens"), header.texts.get("tokenizer.ggml.merges")
    size = TOKEN_OBJECTS * tokens.count + 3 * tokens.long if tokens else 0
    return size + (MERGE_OBJECTS * merges.count + merges.long if merges else 0)


def cache_cells(context: Context) -> int:
    """Cells that a context really has, for all calls together."""
    whole = _padded(context.cells)
    return _padded(whole // context.sequences) * context.sequences if context.parted else whole


def first_accelerated(layers: int, accelerated: int) -> int:
    """The first layer on an accelerator; `layers` is the output, one more is nothing."""
    return 0 if accelerated < 0 else max(0, layers + 1 - accelerated)


def _cells_of_one(context: Context) -> int:
    """Cells that one row may look at."""
    return cache_cells(context) // (context.sequences if context.parted else 1)


def output_bytes(header: ModelHeader, context: Context) -> int:
    """Bytes of what comes out of one computation at most: a row of logits for each output, also where none are made."""
    return LOGIT * (vocabulary_size(header) + (header.embedding_dimensions if context.vectors else 0)) * context.outputs


def _padded(cells: int) -> int:
    return -(-cells // PAD) * PAD


def _layer_weights(header: ModelHeader, count: int) -> list[int]:
    sizes = [0] * count
    for tensor in header.tensors:
        if tensor.layer is not None and tensor.layer < count:
            sizes[tensor.layer] += tensor.size
    return sizes


def _weights(header: ModelHeader, layers: Sequence[int], first: int, loading: Loading) -> tuple[int, int]:
    """Bytes of weights in main memory and on cards.

    The table of tokens is read by rows and stays in main memory. Where it is the output too, that has a copy if it lies
    on a card, or in another order.
    """
    ends = {tensor.name: tensor for tensor in header.tensors if tensor.layer is None or tensor.layer >= len(layers)}
    table = ends.pop("token_embd.weight", None)
    rest = sum(tensor.size for tensor in ends.values())
    card = sum(layers[first:])
    host = sum(layers[:first]) + (table.size if table else 0)
    if first <= len(layers):
        tied = table.size if table and "output.weight" not in ends and not header.embeds_only else 0
        return host, card + rest + tied
    if table and "output.weight" not in ends and table.kind in loading.copied and not header.embeds_only:
        host += table.size
    return host + rest, card


def _context(
    header: ModelHeader, layers: Sequence[Layer], first: int, context: Context, threads: int
) -> tuple[Part, Part]:
    cells = cache_cells(context)
    run = _computation(layers, context, _cells_of_one(context))
    vocabulary = 0 if header.embeds_only else vocabulary_size(header)
    buffer = buffer_bytes(header, layers, vocabulary, run)
    caches = [(layer.keys + layer.values) * HALF * cells for layer in layers]
    states = [layer.state * context.sequences for layer in layers]
    known = CELL_OBJECTS * cells if any(caches) else 0
    work = work_bytes(header, run, threads) if first > 0 else 0
    if context.idle:
        buffer = work = 0
    host = Part(
        cache=sum(caches[:first]) + known,
        state=sum(states[:first]),
        computing=(buffer if first > 0 else input_bytes(header, run)) + work,
        outputs=output_bytes(header, context),
    )
    card = Part(cache=sum(caches[first:]), state=sum(states[first:]), computing=buffer if first <= len(layers) else 0)
    return host, card


def _computation(layers: Sequence[Layer], context: Context, cells: int) -> Computation:
    """What is computed at once. Windows are kept whole, so that the beginning of a call can be taken up again."""
    tokens = min(context.batch, cache_cells(context))
    cached = any(layer.keys for layer in layers)
    recurrent_only = not cached and any(layer.state for layer in layers)
    kinds = len({bool(layer.window) for layer in layers if layer.keys}) if cached else int(not recurrent_only)
    return Computation(
        tokens=tokens,
        outputs=min(tokens, context.outputs),
        sequences=context.sequences,
        masks=[cells if cached else tokens] * kinds,
        cached=cached,
    )


def _sum(parts: Sequence[Part]) -> Part:
    return Part(*(sum(getattr(part, name) for part in parts) for name in Part.__slots__))
