"""Forward passes of a loaded model, under one adapter at a time. On the engine's thread."""

import inspect
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.cache_utils import DynamicCache

from actors.model.refusals import load_failed
from actors.transformers.loading import Loaded
from actors.transformers.sampling import Logits


class Network:
    """The computing part of a model, and the adapters that are loaded into it, at most `limit` of them."""

    def __init__(self, loaded: Loaded, limit: int) -> None:
        self.device = loaded.device
        self._net: Any = loaded.net
        self._takes = frozenset(inspect.signature(loaded.net.forward).parameters)
        self._limit = limit
        self._peft: Any = None
        self._by_use: dict[str, None] = {}
        self._active = ""

    def __contains__(self, adapter: str) -> bool:
        return not adapter or adapter in self._by_use

    # ---- adapters

    def load_adapter(self, key: str, path: Path, in_use: Collection[str]) -> None:
        """Load a folder under a key unless it is there; adapters in use stay. Raises RpcError MODEL_LOAD_FAILED."""
        if key not in self._by_use:
            idle = [each for each in self._by_use if each not in in_use]
            for each in idle[: max(0, len(self._by_use) - self._limit + 1)]:
                self._free(each)
            self._read(key, path)
        self.touch(key)

    def touch(self, key: str) -> None:
        """Note that an adapter is used."""
        if key:
            self._by_use.pop(key, None)
            self._by_use[key] = None

    def use(self, key: str) -> None:
        """Compute under this adapter from now on; empty: under none."""
        if key == self._active:
            return
        if key:
            self._peft.base_model.enable_adapter_layers()
            self._peft.set_adapter(key, inference_mode=True)
        else:
            self._peft.base_model.disable_adapter_layers()
        self._active = key

    def _read(self, key: str, path: Path) -> None:
        import peft

        warnings.simplefilter("ignore", FutureWarning)  # what the two libraries have to tell each other
        known = set(self._peft.peft_config) if self._peft is not None else set()
        self._active = "\0"  # whatever happens below, the next step says anew which one it wants
        try:
            if self._peft is None:
                # It replaces modules inside the model, which goes on being called by itself.
                self._peft = peft.PeftModel.from_pretrained(
                    self._net, str(path), adapter_name=key, local_files_only=True
                )
            else:
                self._peft.load_adapter(str(path), adapter_name=key, local_files_only=True)
        except Exception as problem:
            if self._peft is None:
                _restore(self._net)
            elif key in self._peft.peft_config and key not in known:
                self._peft.delete_adapter(key)
            lines = str(problem).strip().splitlines() or [type(problem).__name__]
            raise load_failed(
                path.name, f"The adapter {path.name} does not fit this model: {lines[0][:300]}"
            ) from problem
        self._net.eval()

    def _free(self, key: str) -> None:
        del self._by_use[key]
        self._active = "\0"
        self._peft.delete_adapter(key)

    # ---- computing

    def logits(self, tokens: torch.Tensor, mask: torch.Tensor, places: torch.Tensor, cache: DynamicCache) -> Logits:
        """Logits after the last token of each row; the cache grows by the tokens.

        tokens, places: [rows, new], on the processor. mask: [rows, kept + new], 0 where a row is padded at its left.
        """
        given: dict[str, Any] = {
            "input_ids": tokens.to(self.device),
            "attention_mask": mask.to(self.device),
            "position_ids": places.to(self.device),
            "past_key_values": cache,
            "use_cache": True,
            "logits_to_keep": 1,
        }
        with torch.inference_mode():
            out = self._net(**{name: value for name, value in given.items() if name in self._takes})
            found: Logits = np.asarray(out.logits[:, -1].float().cpu().numpy(), np.float32)
        return found

    def hidden(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Last hidden states [rows, tokens, dimensions] of whole texts, padded at their right; on the processor."""
        with torch.inference_mode():
            out = self._net.base_model(input_ids=tokens.to(self.device), attention_mask=mask.to(self.device))
            state: torch.Tensor = out.last_hidden_state.float().cpu()
        return state

    def close(self) -> None:
        """Let go of the model; its memory is free once nobody else has it."""
        self._net = self._peft = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _restore(net: Any) -> None:
    """Take out what a first adapter has left behind that could not be loaded."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(net.named_modules()):
        if isinstance(module, BaseTunerLayer):
            above, _, own = name.rpartition(".")
            setattr(net.get_submodule(above), own, module.get_base_layer())
    if hasattr(net, "peft_config"):
        del net.peft_config


def adapter_key(name: str, path: Path) -> str:
    """Names an adapter's content: files that were replaced get another key. PEFT wants names without dots."""
    stamps = [each.stat() for each in sorted(path.glob("adapter_*"))]
    changed = "-".join(f"{each.st_mtime_ns:x}-{each.st_size:x}" for each in stamps)
    return f"{name.replace('.', '_')}@{changed}"
