"""What a model says of a text: logits for each of its tokens, window by window. Blocks; for a process of its own."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from actors.llama.binding import Batch, FloatArray, NativeContext, NativeModel
from actors.llama.divergence import LEAST_TOKENS, PIECE, WINDOW, usable, windows
from actors.llama.vocabulary import Vocabulary
from bus import Code, RpcError, invalid

SEQUENCE = 0


class Evaluated:
    """A model on the processor, opened to be asked about texts; a context that frees it.

    Raises RpcError MODEL_LOAD_FAILED for what cannot be loaded.
    """

    def __init__(self, path: Path, threads: int) -> None:
        self._model = NativeModel(path, 0)
        self.vocabulary = Vocabulary(self._model)
        try:
            self._context = NativeContext(
                self._model, cells=2 * WINDOW, batch=PIECE, sequences=1, threads=threads, every=True
            )
        except RpcError:
            self._model.close()
            raise
        self._batch = Batch(PIECE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.close()
        self._model.close()

    def tokens(self, text: str) -> npt.NDArray[np.int32]:
        """Those of a text that are used, at most. Raises RpcError TEXT_TOO_SHORT."""
        found = self.vocabulary.tokenize(text, control=False)
        if len(found) < LEAST_TOKENS:
            message = f"text has {len(found)} tokens for this model; {LEAST_TOKENS} at least say something of it."
            raise invalid(message, "text", reason="TEXT_TOO_SHORT")
        return np.array(found[: usable(len(found), self.vocabulary.size)], np.int32)

    def predictions(self, tokens: npt.NDArray[np.int32]) -> Iterator[tuple[FloatArray, npt.NDArray[np.int32]]]:
        """Logits in rows, and the tokens that follow there: in the text's order, each token but the first once.

        Raises RpcError INTERNAL (EVALUATION_FAILED).
        """
        begin = [self.vocabulary.begin] if self.vocabulary.begins else []
        for window in windows(len(tokens)):
            self._context.cut(SEQUENCE, 0)
            run = np.array([*begin, *tokens[window.start : window.end - 1]], np.int32)
            first = window.first + len(begin)
            for start in range(0, len(run), PIECE):
                piece = run[start : start + PIECE]
                wanted = range(max(0, first - start), len(piece))
                rows = self._decoded(piece, start, wanted)
                if rows is not None:
                    place = window.start + start + wanted.start - len(begin) + 1
                    yield rows, tokens[place : place + len(rows)]

    def _decoded(self, piece: npt.NDArray[np.int32], position: int, wanted: range) -> FloatArray | None:
        """Compute a piece; its rows from `wanted` on."""
        end = self._batch.put(0, piece, position, SEQUENCE)
        self._batch.output[wanted.start : end] = 1
        if self._context.decode(self._batch, end) != 0:
            message = "llama.cpp could not compute a piece of the text; nothing was compared."
            raise RpcError(Code.INTERNAL, message, reason="EVALUATION_FAILED")
        return np.stack([self._context.logits(place) for place in wanted]) if len(wanted) else None
