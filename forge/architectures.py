"""Blueprints of the kinds of models that differ in what they keep in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from forge.blueprint import F32, Blueprint, Type
from forge.gguf_file import Vocabulary
from forge.random_weights import byte_vocabulary

Tensors = dict[str, tuple[Sequence[int], Type]]

GATED = ("ffn_gate", "ffn_up", "ffn_down")
SANDWICH = ("post_attention_norm", "post_ffw_norm")


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a transformer is made of.

    kind: of its matrices; embedding: of the table of tokens; output: of the last matrix, None where the table of tokens
    is used for it. experts, used: 0 for none.
    """

    layers: int
    width: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_width: int
    vocabulary: int
    context: int = 8192
    kind: Type = Type.Q8_0
    embedding: Type = Type.Q8_0
    output: Type | None = None
    experts: int = 0
    used: int = 0

    def words(self) -> Vocabulary:
        """A vocabulary of this size with about as many merges as those of real models."""
        words = byte_vocabulary(self.vocabulary)
        return Vocabulary(words.tokens, words.merges)

    def keys(self) -> dict[str, int | float | bool | Sequence[int]]:
        """The keys that every transformer has."""
        return {
            "block_count": self.layers,
            "context_length": self.context,
            "embedding_length": self.width,
            "feed_forward_length": self.feed_forward,
            "attention.head_count": self.heads,
            "attention.head_count_kv": self.kv_heads,
            "attention.key_length": self.head_width,
            "attention.value_length": self.head_width,
            "attention.layer_norm_rms_epsilon": 1e-6,
            "rope.dimension_count": self.head_width,
        }

    def ends(self) -> Tensors:
        """The tensors that belong to no layer."""
        found: Tensors = {
            "token_embd.weight": ((self.width, self.vocabulary), self.embedding),
            "output_norm.weight": ((self.width,), F32),
        }
        if self.output is not None:
            found["output.weight"] = ((self.width, self.vocabulary), self.output)
        return found

    def attention(self, layer: int, *, head_norms: bool) -> Tensors:
        """Attention of one layer."""
        queries, keys, at = self.heads * self.head_width, self.kv_heads * self.head_width, f"blk.{layer}."
        found: Tensors = {
            f"{at}attn_norm.weight": ((self.width,), F32),
            f"{at}attn_q.weight": ((self.width, queries), self.kind),
            f"{at}attn_k.weight": ((self.width, keys), self.kind),
            f"{at}attn_v.weight": ((self.width, keys), self.kind),
            f"{at}attn_output.weight": ((queries, self.width), self.kind),
        }
        if head_norms:
            found |= {f"{at}attn_{each}_norm.weight": ((self.head_width,), F32) for each in "qk"}
        return found

    def gated(self, layer: int) -> Tensors:
        """The other half of one layer."""
        at = f"blk.{layer}."
        found: Tensors = {f"{at}ffn_norm.weight": ((self.width,), F32)}
        if self.experts:
            found[f"{at}ffn_gate_inp.weight"] = ((self.width, self.experts), F32)
        for name in GATED:
            axes = (self.feed_forward, self.width) if name == "ffn_down" else (self.width, self.feed_forward)
            if self.experts:
                found[f"{at}{name}_exps.weight"] = ((*axes, self.experts), self.kind)
            else:
                found[f"{at}{name}.weight"] = (axes, self.kind)
        return found


def llama(sizes: Sizes) -> Blueprint:
    """Attention in every layer, one head of keys and values for several of queries."""
    return _transformer("llama", sizes, {}, head_norms=False)


def qwen3(sizes: Sizes) -> Blueprint:
    """The same with norms of heads; with experts where there are any."""
    moe = {
        "expert_count": sizes.experts,
        "expert_used_count": sizes.used,
        "expert_feed_forward_length": sizes.feed_forward,
    }
    return _transformer("qwen3moe" if sizes.experts else "qwen3", sizes, moe if sizes.experts else {}, head_norms=True)


def gemma3(sizes: Sizes, window: int) -> Blueprint:
    """Five of six layers look back over a window of tokens only."""
    return _transformer("gemma3", sizes, {"attention.sliding_window": window}, head_norms=True, sandwich=True)


def bert(sizes: Sizes) -> Blueprint:
    """An encoder: nothing is kept from call to call, and all it makes are embeddings."""
    keys = {key: value for key, value in sizes.keys().items() if "rope" not in key and "rms" not in key}
    keys |= {"attention.causal": False, "pooling_type": 1, "attention.layer_norm_epsilon": 1e-12}
    tensors: Tensors = {
        "token_embd.weight": ((sizes.width, sizes.vocabulary), sizes.embedding),
        "position_embd.weight": ((sizes.width, sizes.context), F32),
        "token_types.weight": ((sizes.width, 2), F32),
        **_norm("token_embd_norm", sizes.width),
    }
    for layer in range(sizes.layers):
        at, half = f"blk.{layer}.", sizes.attention(layer, head_norms=False)
        del half[f"{at}attn_norm.weight"]
        biases: Tensors = {name.replace(".weight", ".bias"): ((axes[1],), F32) for name, (axes, _) in half.items()}
        tensors |= (
            half | biases | _norm(f"{at}attn_output_norm", sizes.width) | _norm(f"{at}layer_output_norm", sizes.width)
        )
        tensors |= {
            f"{at}ffn_up.weight": ((sizes.width, sizes.feed_forward), sizes.kind),
            f"{at}ffn_up.bias": ((sizes.feed_forward,), F32),
            f"{at}ffn_down.weight": ((sizes.feed_forward, sizes.width), sizes.kind),
            f"{at}ffn_down.bias": ((sizes.width,), F32),
        }
    return Blueprint("bert", keys, tensors, sizes.words(), "bert")


def mamba(sizes: Sizes, state: int = 16, kernel: int = 4) -> Blueprint:
    """Recurrent: a state of one size for each call, however long it is."""
    inner, rank = 2 * sizes.width, sizes.width // 16
    keys: dict[str, int | float | bool | Sequence[int]] = {
        "block_count": sizes.layers,
        "context_length": sizes.context,
        "embedding_length": sizes.width,
        "feed_forward_length": 0,
        "attention.head_count": 0,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "ssm.conv_kernel": kernel,
        "ssm.inner_size": inner,
        "ssm.state_size": state,
        "ssm.time_step_rank": rank,
    }
    tensors = sizes.ends()
    for layer in range(sizes.layers):
        at = f"blk.{layer}."
        tensors |= {
            f"{at}attn_norm.weight": ((sizes.width,), F32),
            f"{at}ssm_in.weight": ((sizes.width, 2 * inner), sizes.kind),
            f"{at}ssm_conv1d.weight": ((kernel, inner), F32),
            f"{at}ssm_conv1d.bias": ((inner,), F32),
            f"{at}ssm_x.weight": ((inner, rank + 2 * state), sizes.kind),
            f"{at}ssm_dt.weight": ((rank, inner), F32),
            f"{at}ssm_dt.bias": ((inner,), F32),
            f"{at}ssm_a": ((state, inner), F32),
            f"{at}ssm_d": ((inner,), F32),
            f"{at}ssm_out.weight": ((inner, sizes.width), sizes.kind),
        }
    return Blueprint("mamba", keys, tensors, sizes.words(), "mamba")


def lfm2(sizes: Sizes, attends: Sequence[int], kernel: int = 3) -> Blueprint:
    """Hybrid: the layers in `attends` keep keys and values, the others a short state."""
    keys = sizes.keys()
    keys["attention.head_count_kv"] = [sizes.kv_heads if layer in attends else 0 for layer in range(sizes.layers)]
    keys["shortconv.l_cache"] = kernel
    tensors = sizes.ends()
    tensors["token_embd_norm.weight"] = tensors.pop("output_norm.weight")
    for layer in range(sizes.layers):
        at = f"blk.{layer}."
        tensors |= sizes.gated(layer)
        if layer in attends:
            tensors |= sizes.attention(layer, head_norms=True)
            continue
        tensors |= {
            f"{at}attn_norm.weight": ((sizes.width,), F32),
            f"{at}shortconv.conv.weight": ((kernel, sizes.width), F32),
            f"{at}shortconv.in_proj.weight": ((sizes.width, 3 * sizes.width), sizes.kind),
            f"{at}shortconv.out_proj.weight": ((sizes.width, sizes.width), sizes.kind),
        }
    return Blueprint("lfm2", keys, tensors, sizes.words(), "lfm2")


def _transformer(
    architecture: str,
    sizes: Sizes,
    more: Mapping[str, int | float | bool | Sequence[int]],
    *,
    head_norms: bool,
    sandwich: bool = False,
) -> Blueprint:
    tensors = sizes.ends()
    for layer in range(sizes.layers):
        tensors |= sizes.attention(layer, head_norms=head_norms) | sizes.gated(layer)
        if sandwich:
            tensors |= {f"blk.{layer}.{name}.weight": ((sizes.width,), F32) for name in SANDWICH}
    return Blueprint(architecture, sizes.keys() | dict(more), tensors, sizes.words(), architecture)


def _norm(name: str, width: int) -> Tensors:
    return {f"{name}.{part}": ((width,), F32) for part in ("weight", "bias")}
