"""What llama.cpp's log says of its memory is what it takes."""

from pathlib import Path

import pytest

from actors.llama.buffers import Buffer, read_line

from .engine_jobs import OpenEngine


@pytest.mark.parametrize(
    ("line", "buffer"),
    [
        ("load_tensors:   CPU_Mapped model buffer size =     4.25 MiB", Buffer("model", "CPU_Mapped", 4456448)),
        ("llama_kv_cache:      CUDA0 KV buffer size =   512.00 MiB", Buffer("KV", "CUDA0", 512 << 20)),
        ("llama_context:  CUDA_Host  output buffer size =     0.50 MiB", Buffer("output", "CUDA_Host", 1 << 19)),
        ("llama_memory_recurrent:        CPU RS buffer size =     3.00 MiB", Buffer("RS", "CPU", 3 << 20)),
        ("llama_kv_cache: size =    4.00 MiB (  2048 cells,   4 layers,  8/1 seqs)", None),
        ("", None),
    ],
)
def test_a_line_tells_of_a_buffer_or_of_none(line: str, buffer: Buffer | None) -> None:
    assert read_line(line) == buffer


def test_main_memory_is_what_is_the_cpus_or_pinned_for_a_card() -> None:
    host = {
        place: Buffer("model", place, 1).host for place in ("CPU", "CPU_Mapped", "CPU_REPACK", "CUDA_Host", "CUDA0")
    }
    assert host == {"CPU": True, "CPU_Mapped": True, "CPU_REPACK": True, "CUDA_Host": True, "CUDA0": False}


async def test_an_engine_tells_every_buffer_that_the_library_made(open_engine: OpenEngine, models: Path) -> None:
    engine = await open_engine(cache_tokens=2048, context=512, slots=2, embedding_context=256)
    sizes: dict[str, int] = {}
    for buffer in engine.buffers:
        sizes[buffer.kind] = sizes.get(buffer.kind, 0) + buffer.size
    layers, kept, embedding = 2, 2 * 2 * 16 * 2, 256 + 512
    assert sizes["KV"] == pytest.approx((2048 + embedding) * layers * kept, abs=20_000)
    assert sizes["model"] == pytest.approx((models / "fixture.gguf").stat().st_size, rel=0.1)
    assert set(sizes) == {"model", "KV", "compute", "output"}
    told, later = engine.memory()
    assert [each.bytes for each in told] == [each.size for each in engine.buffers] and later > 0
