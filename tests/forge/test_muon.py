"""The optimizer of matrices."""

import pytest
import torch

from forge.muon import Muon, fast_precision, orthogonalized


@pytest.mark.parametrize("shape", [(2, 24, 60), (3, 16, 40), (1, 40, 16)])
def test_singular_values_come_near_one(shape: tuple[int, int, int]) -> None:
    generator = torch.Generator().manual_seed(7)
    updates = torch.randn(shape, generator=generator)
    found = torch.linalg.svdvals(orthogonalized(updates, torch.float32))
    assert found.min() > 0.5
    assert found.max() < 1.3


def test_it_steps_as_torchs_own_does() -> None:
    generator = torch.Generator().manual_seed(7)
    start = [torch.randn(shape, generator=generator) for shape in ((8, 8), (16, 8), (8, 16), (16, 8))]
    gradients = [[torch.randn(one.shape, generator=generator) for one in start] for _ in range(3)]
    found = []
    for kind in (Muon, torch.optim.Muon):
        weights = [torch.nn.Parameter(one.clone()) for one in start]
        optimizer = kind(weights, lr=0.02, momentum=0.95, weight_decay=0.01)
        for step in gradients:
            for weight, gradient in zip(weights, step, strict=True):
                weight.grad = gradient.clone()
            optimizer.step()
        found.append([weight.detach() for weight in weights])
    for ours, theirs, before in zip(*found, start, strict=True):
        assert (ours - before).abs().max() > 0.01
        # Torch's computes in bfloat16.
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0.002)


def test_the_precision_is_one_of_the_processors() -> None:
    able = torch.cpu.get_capabilities()
    narrow = bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    assert (fast_precision() is torch.bfloat16) == narrow
