"""Packed weights: what they are called, how many there are, and that the processor computes with them."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from actors.transformers.catalog import Catalog
from actors.transformers.packing import packing_of
from actors.transformers.settings import TransformersSettings

from .conftest import Open
from .test_engine import ask, plainly
from .tiny import write_chat, write_tokenizer

NAMES: list[tuple[dict[str, Any], str]] = [
    ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "NF4"),
    ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "INT8"),
    ({"quant_method": "gptq", "bits": 4}, "GPTQ-4bit"),
    ({"quant_method": "awq"}, "AWQ"),
]


@pytest.mark.parametrize(("told", "name"), NAMES)
def test_a_kind_of_packing_has_the_name_that_people_use(told: dict[str, Any], name: str) -> None:
    packing = packing_of({"quantization_config": told})
    assert packing is not None and packing.name == name


def test_weights_that_are_not_packed_have_none() -> None:
    assert packing_of({}) is None and packing_of({"quantization_config": None}) is None


def test_of_packed_tensors_the_weights_are_counted() -> None:
    packing = packing_of({"quantization_config": NAMES[0][0]})
    assert packing is not None
    assert packing.weights("model.q_proj.weight", "U8", 100) == 200
    assert packing.weights("model.norm.weight", "F32", 100) == 100
    assert packing.weights("model.q_proj.weight.absmax", "F32", 100) == 0
    assert packing.weights("model.q_proj.weight.quant_state.bitsandbytes__nf4", "U8", 100) == 0


def write_packed(folder: Path, plain: Path, **options: object) -> Path:
    import transformers

    kind: Any = transformers.BitsAndBytesConfig
    net: Any = transformers.AutoModelForCausalLM.from_pretrained(
        plain, quantization_config=kind(**options), device_map={"": "cpu"}
    )
    net.save_pretrained(folder)
    write_tokenizer(folder)
    return folder


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("options", "name"),
    [({"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "NF4"), ({"load_in_8bit": True}, "INT8")],
)
async def test_what_bitsandbytes_has_packed_is_told_and_answers_on_the_processor(
    open_engine: Open, folders: Path, tmp_path: Path, options: dict[str, object], name: str
) -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is no requirement of Troupe")
    plain = await asyncio.to_thread(write_chat, tmp_path / "plain", hidden_size=64, intermediate_size=128)
    packed = await asyncio.to_thread(lambda: write_packed(folders / "models" / f"packed-{name}", plain, **options))
    try:
        catalog = Catalog([folders / "models", tmp_path], [], gguf=False)
        found = catalog.entries()
        shown = catalog.describe(found[packed.name], TransformersSettings())
        assert (shown.quantization, shown.error) == (name, "")
        assert shown.parameters == catalog.describe(found["plain"], TransformersSettings()).parameters
        engine = await open_engine(packed.name)
        prompt = engine.tokenize("Hello", control=True)
        assert (await ask(engine)).ids() == await asyncio.to_thread(plainly, packed, prompt, 24)
    finally:
        shutil.rmtree(packed)
