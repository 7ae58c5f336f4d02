"""Whether llama.cpp computes on a card here, without loading it: it would keep the card's driver in this process."""

from importlib.util import find_spec
from pathlib import Path

CARDS = ("/dev/nvidia0", "/dev/dxg")
"""What is there where a driver has a card: NVIDIA's own, and Windows' under WSL."""


def offloads(libraries: Path | None = None, cards: tuple[str, ...] = CARDS) -> bool:
    """The installed llama.cpp was built for CUDA, and there is a card. libraries: where its parts lie, if known."""
    folder = libraries or _libraries()
    built = folder is not None and any("cuda" in file.name for file in folder.glob("*ggml*"))
    return built and any(Path(card).exists() for card in cards)


def _libraries() -> Path | None:
    found = find_spec("llama_cpp")
    return None if found is None or found.origin is None else Path(found.origin).parent / "lib"
