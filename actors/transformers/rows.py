"""The cache of several answers that are computed together: each a row, padded at its left to one length."""

from collections.abc import Sequence as Many
from typing import Any

import torch
from transformers.cache_utils import DynamicCache

from actors.transformers.network import Network
from actors.transformers.sampling import Logits
from actors.transformers.sequence import Sequence


class Rows:
    """Answers under one adapter. Joining and leaving happen between two steps. On the engine's thread.

    All but the last token of each are in the cache.
    """

    def __init__(self, adapter: str) -> None:
        self.adapter = adapter
        self.sequences: list[Sequence] = []
        self._cache = DynamicCache()
        self._mask = torch.zeros((0, 0), dtype=torch.long)

    @property
    def width(self) -> int:
        """Tokens that each row has room for, the padding included."""
        return int(self._mask.shape[1])

    @property
    def cells(self) -> int:
        """Tokens that it holds, the padding included."""
        return len(self.sequences) * self.width

    def with_more(self, count: int, tokens: int) -> int:
        """Cells that it would hold with so many more rows of so many tokens."""
        return (len(self.sequences) + count) * max(self.width, tokens)

    def join(self, sequences: Many[Sequence], cache: DynamicCache, tokens: int) -> None:
        """Take sequences in that share what one row of a cache holds."""
        width, count = max(self.width, tokens), len(sequences)
        layers: list[Any] = list(cache.layers)
        for place, layer in enumerate(layers):
            if not layer.is_initialized:  # layers that share another one's
                continue
            keys, values = (_padded(each, width).expand(count, -1, -1, -1) for each in (layer.keys, layer.values))
            if self.sequences:
                old: Any = self._cache.layers[place]
                keys = torch.cat([_padded(old.keys, width), keys])
                values = torch.cat([_padded(old.values, width), values])
                old.keys, old.values = keys, values
            else:
                layer.keys, layer.values = keys.contiguous(), values.contiguous()
        if not self.sequences:
            self._cache = cache
        self._mask = torch.cat([_mask(self._mask, width), _mask(torch.ones((count, tokens), dtype=torch.long), width)])
        self.sequences += sequences

    def leave(self, sequence: Sequence) -> None:
        """Drop a row, and the padding that nobody needs any longer."""
        if sequence not in self.sequences:
            return
        kept = [place for place, each in enumerate(self.sequences) if each is not sequence]
        self.sequences.remove(sequence)
        if not kept:
            self._cache, self._mask = DynamicCache(), torch.zeros((0, 0), dtype=torch.long)
            return
        self._mask = self._mask[kept]
        start = self.width - int(self._mask.sum(dim=1).max())
        self._mask = self._mask[:, start:]
        layers: list[Any] = list(self._cache.layers)
        for layer in layers:
            if layer.is_initialized:
                rows = torch.tensor(kept, device=layer.keys.device)
                layer.keys = layer.keys.index_select(0, rows)[:, :, start:].contiguous()
                layer.values = layer.values.index_select(0, rows)[:, :, start:].contiguous()

    def step(self, network: Network) -> Logits:
        """Compute the last token of each row; the logits after it, a row for each."""
        tokens = torch.tensor([[sequence.tokens[-1]] for sequence in self.sequences])
        places = self._mask.sum(dim=1, keepdim=True)
        self._mask = torch.cat([self._mask, torch.ones((len(self.sequences), 1), dtype=torch.long)], dim=1)
        return network.logits(tokens, self._mask, places, self._cache)


def _padded(states: Any, width: int) -> torch.Tensor:
    """Keys or values [rows, heads, tokens, numbers] with zeros at the left."""
    padded: torch.Tensor = torch.nn.functional.pad(states, (0, 0, width - states.shape[2], 0))
    return padded


def _mask(mask: torch.Tensor, width: int) -> torch.Tensor:
    return torch.nn.functional.pad(mask, (width - mask.shape[1], 0))
