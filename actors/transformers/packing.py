"""How weights are packed, as config.json says it: by which method, what people call it, and what unpacks it."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

PACKAGES: Mapping[str, tuple[str, ...]] = {
    "bitsandbytes": ("bitsandbytes",),
    "gptq": ("gptqmodel", "auto_gptq"),
    "awq": ("gptqmodel", "awq"),
    "compressed-tensors": ("compressed_tensors",),
    "hqq": ("hqq",),
    "torchao": ("torchao",),
}
"""What unpacks weights of a kind: any one of these modules."""
BESIDE = (".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map", ".SCB", ".weight_format")
"""Ends of names of tensors that are no weights: how to unpack those beside them."""
STATE = ".quant_state."
HALVES = "U8"
"""A byte of bitsandbytes' 4-bit weights holds two of them."""


@dataclass(frozen=True, slots=True)
class Packing:
    """How the weights of a folder are packed. name: as people call it, "NF4", "GPTQ-4bit"; halves: two in a byte."""

    method: str
    name: str
    halves: bool = False

    @property
    def missing(self) -> str:
        """The package that is wanted and not installed; empty: there is one, or none is known to be needed."""
        wanted = PACKAGES.get(self.method, ())
        return wanted[0] if wanted and not any(find_spec(each) for each in wanted) else ""

    def weights(self, tensor: str, kind: str, elements: int) -> int:
        """Weights that a tensor holds."""
        if tensor.endswith(BESIDE) or STATE in tensor:
            return 0
        return 2 * elements if self.halves and kind == HALVES else elements


def packing_of(config: Mapping[str, Any]) -> Packing | None:
    """What config.json says of it; None: the weights are not packed."""
    told = config.get("quantization_config")
    if not isinstance(told, dict):
        return None
    method = str(told.get("quant_method", ""))
    if method == "bitsandbytes":
        if told.get("load_in_8bit"):
            return Packing(method, "INT8")
        return Packing(method, str(told.get("bnb_4bit_quant_type") or "fp4").upper(), halves=True)
    bits = told.get("bits")
    return Packing(method, f"{method.upper()}-{bits}bit" if isinstance(bits, int) else method.upper())
