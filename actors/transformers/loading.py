"""From a folder to a model in memory, and what its files say of how it is used. In a thread of its own."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
import transformers
from transformers import modeling_gguf_pytorch_utils

from actors.model.interface import SamplingSettings
from actors.model.refusals import load_failed, out_of_memory
from actors.model.tools import detect_format
from actors.model.validation import POSITIVE, RANGES
from actors.transformers.folder import Facts, Source, pooling, read_facts
from actors.transformers.limits import dtype, threads
from actors.transformers.masks import Masks
from actors.transformers.settings import TransformersSettings
from actors.transformers.vocabulary import Vocabulary
from bus import RpcError
from bus.errors import cancelled

SAMPLING = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "repetition_penalty": "repeat_penalty",
}
"""generation_config.json's name -> ours."""
UNPACKING = 0.9
"""Share of loading a GGUF file that its unpacking is."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory.

    net: of transformers, in inference mode. masks: None where no answer can be held to a constraint. pooling: see
    `folder.pooling`.
    """

    net: Any
    vocabulary: Vocabulary
    masks: Masks | None
    facts: Facts
    template: str
    sampling: SamplingSettings
    pooling: str
    device: torch.device


def load(path: Path, settings: TransformersSettings, tell: Callable[[float], bool]) -> Loaded:
    """Load a folder or a GGUF file.

    tell: hears shares, 0 to 1, and says whether to go on; where not, this raises CANCELLED. Raises RpcError
    MODEL_LOAD_FAILED.
    """
    name, source = path.name, Source.of(path)
    try:
        facts = read_facts(source)
        with _told(tell, unpacks=bool(source.gguf)):
            return _load(source, facts, settings)
    except RpcError:
        raise
    except Exception as problem:  # whatever a model's files make a library raise, this model cannot be served
        lines = str(problem).strip().splitlines() or [type(problem).__name__]
        if without_memory(problem):
            raise out_of_memory(name, lines[0][:500].rstrip(".")) from problem
        raise load_failed(name, f"{name} cannot be loaded: {lines[0][:500]}") from problem


def without_memory(problem: Exception) -> bool:
    """PyTorch got no memory: of a card by a class of its own, of the machine by words alone."""
    known = isinstance(problem, MemoryError | torch.OutOfMemoryError)
    return known or (isinstance(problem, RuntimeError) and "allocate memory" in str(problem))


def _load(source: Source, facts: Facts, settings: TransformersSettings) -> Loaded:
    torch.set_num_threads(threads(facts.parameters, settings, torch.get_num_threads()))
    device = torch.device("cuda" if settings.device != "cpu" and torch.cuda.is_available() else "cpu")
    if settings.device == "cuda" and device.type == "cpu":
        raise ValueError("[actors.transformers] device is cuda, and PyTorch finds no card here.")
    where: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    if source.gguf:
        where["gguf_file"] = source.gguf
    tokenizer = transformers.AutoTokenizer.from_pretrained(source.folder, **where)
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise ValueError("Its tokenizer has no fast form (tokenizer.json).")
    kind = transformers.AutoModelForCausalLM if facts.generates else transformers.AutoModel
    if not source.gguf:
        where["use_safetensors"] = True
    if device.type != "cpu" or facts.packed:
        where["device_map"] = {"": str(device)}
    kept = getattr(torch, dtype(facts, settings))
    library: Any = kind
    net, told = library.from_pretrained(source.folder, dtype=kept, output_loading_info=True, **where)
    missing = sorted(told.get("missing_keys", ()))
    # Encoders are often saved without the head that nobody uses; in a model that speaks, noise would be served.
    if missing and facts.generates:
        raise ValueError(f"Its files lack {len(missing)} tensors, for example {missing[0]}.")
    net.eval()
    told_config = getattr(net, "generation_config", None)
    ends = {*_ids(tokenizer.eos_token_id), *_ids(getattr(told_config, "eos_token_id", None))}
    vocabulary = Vocabulary(tokenizer, _rows(net), ends)
    template = _template(tokenizer)
    # A constrained answer ends with the turn; without a token for that none could be.
    masks = Masks(vocabulary, detect_format(template).markers) if facts.generates and vocabulary.ends else None
    return Loaded(
        net=net,
        vocabulary=vocabulary,
        masks=masks,
        facts=facts,
        template=template,
        sampling=_sampling(told_config),
        pooling=pooling(source.folder),
        device=device,
    )


@contextlib.contextmanager
def _told(tell: Callable[[float], bool], *, unpacks: bool) -> Iterator[None]:
    """Instead of drawing bars, the library's loading loops tell how far they are, and stop where nobody wants them.

    unpacks: a GGUF file is unpacked first, which takes most of the time.
    """
    start = UNPACKING if unpacks else 0.0

    def hooked(factory: object, args: tuple[Any, ...], options: dict[str, Any]) -> "_Loop":
        items = args[0] if args else options.get("iterable")
        return _Loop(items, lambda share: tell(start + (1 - start) * share))

    def unpacking(items: Iterable[Any], **_: object) -> "_Loop":
        return _Loop(items, lambda share: tell(UNPACKING * share))

    logging: Any = transformers.utils.logging
    gguf: Any = modeling_gguf_pytorch_utils
    before, bar, level = logging.set_tqdm_hook(hooked), gguf.tqdm, logging.get_verbosity()
    gguf.tqdm = unpacking  # it knows no hook
    logging.set_verbosity_error()
    try:
        yield
    finally:
        gguf.tqdm = bar
        logging.set_tqdm_hook(before)
        logging.set_verbosity(level)


class _Loop:
    """What stands where the library would have a progress bar."""

    def __init__(self, items: Iterable[Any] | None, tell: Callable[[float], bool]) -> None:
        self._items = list(items) if items is not None else []
        self._tell = tell

    def __iter__(self) -> Iterator[Any]:
        for done, item in enumerate(self._items):
            if not self._tell(done / len(self._items)):
                raise cancelled()
            yield item

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __getattr__(self, name: str) -> Callable[..., None]:
        """A bar has many more methods (update, close, set_postfix); there is nothing to draw."""
        return lambda *_, **__: None


def _ids(told: int | list[int] | None) -> list[int]:
    if told is None:
        return []
    return list(told) if isinstance(told, list) else [told]


def _rows(net: Any) -> int:
    return int(net.get_input_embeddings().weight.shape[0])


def _template(tokenizer: Any) -> str:
    told = getattr(tokenizer, "chat_template", None)
    if isinstance(told, dict):
        told = told.get("default")
    return str(told or "")


def _sampling(config: Any) -> SamplingSettings:
    """What the model's own file says, where it is allowed, else the usual settings."""
    found: dict[str, Any] = {}
    for key, name in SAMPLING.items():
        value, (low, high) = getattr(config, key, None), RANGES[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if low <= value <= high and not (value == 0 and name in POSITIVE):
            found[name] = int(value) if name == "top_k" else float(value)
    return replace(SamplingSettings(), **found)
