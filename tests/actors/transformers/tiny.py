"""Very small random models in folders, as Hugging Face has them, made on the spot."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import peft
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
VOCABULARY = 300
"""Rows of the matrices; some of them are no tokens, as in real models."""


def write_tokenizer(folder: Path, template: str = TEMPLATE) -> None:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {letter: number for number, letter in enumerate(letters)}
    words |= {"th": len(words), "the": len(words) + 1}
    tokenizer = Tokenizer(models.BPE(words, [("t", "h"), ("th", "e")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in CONTROL])
    kind: Any = transformers.PreTrainedTokenizerFast
    fast = kind(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=template or None
    )
    fast.save_pretrained(folder)


def write_chat(folder: Path, seed: int = 0, **shape: object) -> Path:
    """A model with the layers of Llama that chats in nonsense, with clear choices."""
    torch.manual_seed(seed)
    given: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.4,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
        **shape,
    }
    config = transformers.LlamaConfig(**given)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def write_sliding(folder: Path, window: int = 8) -> Path:
    """A model whose layers look back on a few tokens only, turn and turn about with such as see all."""
    torch.manual_seed(3)
    config = transformers.Gemma3TextConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=512,
        sliding_window=window,
        layer_types=["sliding_attention", "full_attention"],
        tie_word_embeddings=False,
        initializer_range=0.4,
        eos_token_id=None,
        bos_token_id=None,
        pad_token_id=None,
    )
    transformers.Gemma3ForCausalLM(config).save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def write_encoder(folder: Path) -> Path:
    """A model that embeds, as BERT does."""
    torch.manual_seed(1)
    config = transformers.BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        initializer_range=0.4,
    )
    transformers.BertModel(config).save_pretrained(folder)
    write_tokenizer(folder, "")
    return folder


def write_adapter(folder: Path, model: Path, seed: int = 7, targets: Sequence[str] = ("q_proj", "v_proj")) -> Path:
    """A LoRA with random matrices, strong enough to change what is said."""
    net = transformers.AutoModelForCausalLM.from_pretrained(model)
    config = peft.LoraConfig(r=4, lora_alpha=64, target_modules=list(targets), init_lora_weights=False)
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        peft.get_peft_model(net, config).save_pretrained(str(folder))
    return folder
