"""A second family: an engine in Python over a vocabulary of words, deterministic, with models that are word lists."""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from actors.model.family import Family
from actors.model.hosted import HostedModel
from actors.model.interface import Cost, Embedding, Ended, EndReason, EngineInfo, Event, Job, Said, Tokens
from actors.model.refusals import not_removable
from actors.model.shelf import Life
from actors.model.stream import EventStream
from actors.model.text import TextStream
from bus import Code, RpcError
from bus.errors import interrupted
from host.member import Member
from troupe.chat.v1 import ChatService
from troupe.embedding.v1 import EmbeddingService
from troupe.family.v1 import Needs
from troupe.model.v1 import Model

TEMPLATE = "{% for m in messages %}{{ m.role }} : {{ m.content }} {% endfor %}"
UNKNOWN = 0


class WordEngine:
    """Each token is a word; after a word comes the next one of the list, round and round, from the seed's place on."""

    def __init__(self, words: Sequence[str], template: str = TEMPLATE) -> None:
        self.words = ["?", *words]
        self._ids = {word: number for number, word in enumerate(self.words)}
        self._tasks: set[asyncio.Task[None]] = set()
        self._streams: list[EventStream[Event]] = []
        self.info = EngineInfo(
            context_tokens=4096,
            embedding_tokens=4096,
            embedding_dimensions=len(self.words),
            vocabulary=len(self.words),
            generates=True,
            template=template,
            begin_text="",
            end_text="",
            begins=False,
            control_texts=frozenset(),
            infill=None,
            continues=True,
        )

    def tokenize(self, text: str, *, control: bool, begin: bool = False) -> list[int]:
        return [self._ids.get(word, UNKNOWN) for word in text.split()]

    def submit(self, job: Job) -> EventStream[Event]:
        stream: EventStream[Event] = EventStream(lambda: None)
        self._streams.append(stream)
        task = asyncio.create_task(self._say(job, stream))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return stream

    def embed(self, inputs: Sequence[Sequence[int]]) -> EventStream[Embedding]:
        stream: EventStream[Embedding] = EventStream(lambda: None)
        for index, tokens in enumerate(inputs):
            counts = [float(tokens.count(number)) for number in range(len(self.words))]
            length = math.sqrt(sum(count * count for count in counts))
            stream.push(Embedding(index, [count / length for count in counts], len(tokens)))
        stream.end()
        return stream

    async def load_adapter(self, name: str, path: Path) -> None:
        raise RpcError(Code.NOT_FOUND, "Words take no adapters.", reason="ADAPTER_NOT_FOUND")

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for stream in self._streams:
            stream.end(interrupted())

    def _spelled(self, number: int, token: int) -> bytes:
        return (" " * bool(number) + self.words[token]).encode()

    async def _say(self, job: Job, stream: EventStream[Event]) -> None:
        said = 0
        before = job.said or [Said()] * job.choices
        texts = [TextStream(job.stop) for _ in before]
        for choice, known in enumerate(before):
            for number, token in enumerate(known.ids):
                shown = texts[choice].feed(self._spelled(number, token))
                stream.push(Tokens(choice, shown, 1, ids=(token,), again=True))
            said += len(known.ids)
        for choice, known in enumerate(before):
            if known.ended:
                continue
            text, token, reason = texts[choice], job.prompt[-1] + (job.sampling.seed or 0), EndReason.LENGTH
            token += len(known.ids)
            for number in range(len(known.ids), job.max_tokens):
                await asyncio.sleep(0)  # a step of the engine
                if stream.cancelled:
                    stream.end()
                    return
                token = (token + 1) % len(self.words)
                shown = text.feed(self._spelled(number, token))
                stream.push(Tokens(choice, shown, 1, ids=(token,)))
                said += 1
                if text.stopped:
                    reason = EndReason.STOP
                    break
            stream.push(Tokens(choice, text.flush(), 0))
            stream.push(Ended(choice, reason, text.stopped))
        stream.push(Cost(len(job.prompt), 0, said, 0.0, 0.0, 0.0))
        stream.end()


@dataclass(frozen=True)
class WordList:
    """A model: a file of words."""

    name: str
    words: tuple[str, ...]
    error: str = ""


class WordShelf:
    """Word lists in a folder."""

    def __init__(self, family: str, folder: Path, member: Member) -> None:
        self._family = family
        self._folder = folder
        self._member = member

    def entries(self) -> Mapping[str, WordList]:
        found = {path.stem: tuple(path.read_text().split()) for path in sorted(self._folder.glob("*.words"))}
        return {name: WordList(name, words, "" if words else f"{name} is empty.") for name, words in found.items()}

    def describe(self, entry: WordList) -> Model:
        services = [EmbeddingService.INFO.name]
        if not entry.name.startswith("vectors"):
            services.append(ChatService.INFO.name)
        return Model(name=entry.name, services=services, context_tokens=4096, chat_template=True, error=entry.error)

    def needs(self, entry: WordList) -> Needs:
        return Needs(weights_bytes=sum(len(word) for word in entry.words))

    def check_removable(self, entry: WordList) -> None:
        if entry.name == "small":
            raise not_removable(entry.name, "it came with the test")

    def remove(self, entry: WordList) -> int:
        path = self._folder / f"{entry.name}.words"
        size = path.stat().st_size
        path.unlink()
        return size

    def life(self, entry: WordList) -> Life:
        async def open_engine(progress: Callable[[float], None]) -> WordEngine:
            progress(0.5)
            await asyncio.sleep(0)
            if "unreadable" in entry.words:
                message = f"{entry.name} cannot be loaded: it is unreadable."
                raise RpcError(Code.FAILED_PRECONDITION, message, reason="MODEL_LOAD_FAILED")
            if "huge" in entry.words:
                message, fits = f"{entry.name} fits nowhere; half of it would.", {"fits": "half"}
                reason = "INSUFFICIENT_MEMORY"
                raise RpcError(Code.RESOURCE_EXHAUSTED, message, reason=reason, metadata=fits, retry_after=2.5)
            return WordEngine(entry.words)

        return HostedModel(self._member, self._family, entry.name, open_engine, grace=1.0)


class WordsActor(Family[WordList]):
    """Serves a folder of word lists under a family's name."""

    def __init__(self, family: str, folder: Path, member: Member, preload: Sequence[str] = ()) -> None:
        super().__init__(family, WordShelf(family, folder, member), preload)
