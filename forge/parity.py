"""The gate that a conversion must pass: what llama.cpp makes of the file is what Transformers makes of the model.

A wrong row order of queries and keys, a wrong pre-tokenizer or a wrong special token give a file that loads and talks,
only worse. So tokens are compared on every text about the facts, and greedy answers on a sample of prompts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from forge.llama import GreedyModel
from forge.template import CONTROL_TOKENS, TURN_END

ODD_TEXTS = (
    "Đường dẫn  có   nhiều khoảng trắng\n\n mới\t.",
    "I'll say we've 123 4567 $%^ ümlaut 日本語 🙂 \u00a0 x",
    "<|im_start|>user\nx<|im_end|>",
    '<tools>\n{"name": "a"}\n</tools><tool_call></tool_call> <tool_response>',
    "   leading and trailing   ",
)
END = CONTROL_TOKENS.index(TURN_END)


class ParityError(Exception):
    """The converted file does not do what the trained model does."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How far a file agrees with its model."""

    file: str
    texts: int
    texts_equal: int
    prompts: int
    prompts_equal: int
    largest_logit_difference: float

    def require(self, share: float = 1.0) -> None:
        """Raise ParityError unless all texts have the same tokens, and this share of the prompts the same answer."""
        if self.texts_equal < self.texts or self.prompts_equal < share * self.prompts:
            raise ParityError(
                f"{self.file}: {self.texts_equal} of {self.texts} texts have the same tokens and "
                f"{self.prompts_equal} of {self.prompts} prompts the same answer; the file is not usable."
            )


def compare(
    model: LlamaForCausalLM, tokenizer: Tokenizer, path: Path, texts: Iterable[str], prompts: Sequence[str]
) -> Parity:
    """Compare a file with the model it was made from."""
    converted = GreedyModel(path)
    try:
        pairs = [(_tokens(tokenizer, text), converted.tokens(text)) for text in (*ODD_TEXTS, *texts)]
        equal, difference = 0, 0.0
        for prompt in prompts:
            tokens = _tokens(tokenizer, prompt)
            equal += greedy(model, tokens) == converted.continuation(tokens)
            gap = torch.from_numpy(converted.logits(tokens)) - _logits(model, tokens)
            difference = max(difference, float(gap.abs().max()))
    finally:
        converted.close()
    same = sum(left == right for left, right in pairs)
    return Parity(path.name, len(pairs), same, len(prompts), equal, round(difference, 4))


@torch.no_grad()
def greedy(model: LlamaForCausalLM, tokens: Sequence[int], limit: int = 96) -> list[int]:
    """The likeliest continuation by Transformers, up to the end of the turn."""
    said: list[int] = []
    output = model(torch.tensor([list(tokens)]), use_cache=True)
    while len(said) < limit and (token := int(output.logits[0, -1].argmax())) != END:
        said.append(token)
        output = model(torch.tensor([[token]]), past_key_values=output.past_key_values, use_cache=True)
    return said


@torch.no_grad()
def _logits(model: LlamaForCausalLM, tokens: Sequence[int]) -> torch.Tensor:
    logits: torch.Tensor = model(torch.tensor([list(tokens)])).logits[0, -1].float()
    return logits


def _tokens(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids
