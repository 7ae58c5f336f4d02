"""Muon in the precision that a processor computes fast."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
"""Jordan 2024, "Muon: An optimizer for hidden layers in neural networks"."""


def fast_precision() -> torch.dtype:
    """The narrowest type for which this processor has instructions; without them bfloat16 is many times as slow."""
    able = torch.cpu.get_capabilities()
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else torch.float32


def orthogonalized(updates: torch.Tensor, precision: torch.dtype) -> torch.Tensor:
    """The nearest matrices whose singular values are about 1, by Newton and Schulz; (matrices, rows, columns)."""
    first, second, third = COEFFICIENTS
    tall = updates.size(-2) > updates.size(-1)
    found = updates.to(precision)
    found = found.mT if tall else found
    found = found / found.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = found @ found.mT
        found = torch.baddbmm(found, torch.baddbmm(gram, gram, gram, beta=second, alpha=third), found, beta=first)
    return found.mT if tall else found


class Muon(torch.optim.Optimizer):
    """Steepest descent under the spectral norm, with Nesterov's momentum; for matrices only.

    torch.optim.Muon does the same, always in bfloat16 and one matrix after the other.
    """

    def __init__(
        self, matrices: Iterable[torch.nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self._precision = fast_precision()

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]  # nobody gives a closure
        """One step; matrices of one shape together."""
        assert closure is None
        for group in self.param_groups:
            shapes: dict[torch.Size, list[torch.nn.Parameter]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    shapes.setdefault(weight.shape, []).append(weight)
            for shape, weights in shapes.items():
                updates = torch.stack([self._update(weight, group["momentum"]) for weight in weights])
                turned = orthogonalized(updates, self._precision)
                rate = group["lr"] * math.sqrt(max(1.0, shape[0] / shape[1]))
                for weight, direction in zip(weights, turned, strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.add_(direction.to(weight.dtype), alpha=-rate)

    def _update(self, weight: torch.nn.Parameter, momentum: float) -> torch.Tensor:
        state = self.state[weight]
        assert weight.grad is not None
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight.grad)
        buffer = state["momentum_buffer"]
        buffer.lerp_(weight.grad, 1 - momentum)
        return weight.grad.lerp(buffer, momentum)
