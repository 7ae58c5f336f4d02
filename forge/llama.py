"""Runs a GGUF model through llama.cpp: greedy, one conversation at a time. For checks, not for serving."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np

Tokens = Sequence[int]


class GreedyModel:
    """A loaded GGUF model that always says the likeliest token."""

    def __init__(self, path: Path, *, context: int = 4096, adapter: Path | None = None) -> None:
        with _without_tile_kernels():
            self._model = llama_cpp.Llama(
                str(path),
                n_ctx=context,
                n_threads=1,
                n_threads_batch=1,
                verbose=False,
                lora_path=str(adapter) if adapter else None,
            )
        self._end = self._model.token_eos()

    def close(self) -> None:
        """Free the model's memory."""
        self._model.close()

    def tokens(self, text: str) -> list[int]:
        """A rendered text as tokens, control tokens included."""
        return list(self._model.tokenize(text.encode(), add_bos=False, special=True))

    def text(self, tokens: Tokens) -> str:
        """Tokens as text; control tokens show as nothing."""
        return bytes(self._model.detokenize(list(tokens), special=False)).decode("utf-8", "replace")

    def logits(self, tokens: Tokens) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        """What the model expects after these tokens."""
        self._model.n_tokens = 0
        self._model.eval(list(tokens))
        return self._last()

    def continuation(self, tokens: Tokens, limit: int = 96) -> list[int]:
        """The likeliest tokens that follow, up to the end of the turn, which is left out."""
        said: list[int] = []
        logits = self.logits(tokens)
        while len(said) < limit:
            token = int(logits.argmax())
            if token == self._end:
                break
            said.append(token)
            self._model.eval([token])
            logits = self._last()
        return said

    def answer(self, prompt: str, limit: int = 96) -> str:
        """The answer to a rendered prompt."""
        return self.text(self.continuation(self.tokens(prompt), limit))

    def _last(self) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        logits = llama_cpp.llama_get_logits_ith(self._model.ctx, -1)
        return np.ctypeslib.as_array(logits, (self._model.n_vocab(),)).copy()


@contextmanager
def _without_tile_kernels() -> Iterator[None]:
    """Models that are loaded meanwhile do without the extra buffer types, and with them without AMX.

    Compiled by GCC 12, ggml's AMX kernels end the process with an illegal instruction; and a check compares best with
    the plain kernels. `Llama` has no argument for it.
    """
    library: Any = llama_cpp.llama_cpp
    given = library.llama_model_default_params

    def parameters() -> Any:
        chosen = given()
        chosen.use_extra_bufts = False
        return chosen

    library.llama_model_default_params = parameters
    try:
        yield
    finally:
        library.llama_model_default_params = given
