"""What PyTorch says when it has no memory, told from other failures."""

import pytest
import torch

from actors.transformers.engine import _crashed
from actors.transformers.loading import without_memory


@pytest.mark.parametrize(
    ("problem", "memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("can't allocate memory for a name"), False),
    ],
)
def test_a_failure_for_want_of_memory_is_known(problem: Exception, memory: bool) -> None:
    assert without_memory(problem) is memory
    assert (_crashed(problem).reason == "INSUFFICIENT_MEMORY") is memory


def test_an_allocation_that_cannot_be_is_one() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**60, dtype=torch.float32)
    assert without_memory(refused.value)
