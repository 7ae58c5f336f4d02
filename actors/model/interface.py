"""What an engine is to the services around it: jobs of token ids go in, events come out.

Nothing here names a library, so that a second engine fits behind the same services.
"""

import enum
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from actors.model.constraint import Constraint


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """How the next token is chosen; the ranges are those of troupe.chat.v1.Sampling."""

    temperature: float = 0.8
    top_p: float = 0.95
    top_k: int = 40
    min_p: float = 0.05
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repeat_penalty: float = 1.0
    seed: int | None = None
    """None draws one. Choice number n of a job uses seed + n, and each token is drawn by that and its place."""
    logit_bias: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Said:
    """What one choice of a job has said already, in another process."""

    ids: Sequence[int] = ()
    """Its tokens, as `Tokens.ids` told them; none that ends a turn."""
    ended: bool = False
    """It was complete."""


@dataclass(frozen=True, slots=True)
class Job:
    """One request: a prompt and what is wanted after it."""

    prompt: Sequence[int]
    """Token ids; at least one."""
    max_tokens: int
    """At least 1; with the prompt no more than the engine's context."""
    sampling: SamplingSettings = SamplingSettings()
    choices: int = 1
    stop: tuple[str, ...] = ()
    alternatives: int | None = None
    """None: no log probabilities; otherwise how many alternatives come with each token."""
    constraint: Constraint | None = None
    markers: frozenset[str] = frozenset()
    """Control tokens that shall appear in the text, by their spelling; all others are left out of it."""
    adapter: str = ""
    """An adapter that `Engine.load_adapter` has loaded; empty: none."""
    ignore_end: bool = False
    """Go on after the model's end-of-turn token; for measurements."""
    said: Sequence[Said] = ()
    """One for each choice where the job goes on, at most `max_tokens` each; empty: it begins.

    Only for engines whose info says `continues`.
    """


@dataclass(frozen=True, slots=True)
class Alternative:
    """A token that might have been chosen."""

    token: bytes
    logprob: float


@dataclass(frozen=True, slots=True)
class TokenScore:
    """A token's bytes, the natural logarithm of its probability, and the likeliest tokens in its place."""

    token: bytes
    logprob: float
    alternatives: tuple[Alternative, ...]


@dataclass(frozen=True, slots=True)
class Queued:
    """The job waits; `position` 1 is next."""

    position: int
    eta: float | None
    """Seconds until it will be admitted; None where nothing is known."""


@dataclass(frozen=True, slots=True)
class Prefilling:
    """The prompt is being read and needs more than one step."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Tokens:
    """More of a choice.

    Text may lag behind tokens: whole characters only, and nothing that may become a stop string.
    """

    choice: int
    text: str
    count: int
    scores: tuple[TokenScore, ...] = ()
    ids: tuple[int, ...] = ()
    """The tokens by their numbers, `count` of them; empty: the engine cannot go on."""
    again: bool = False
    """They are of `Job.said`. Those of all choices come first, one by one and without scores, before anything new."""


class EndReason(enum.Enum):
    """Why a choice ended."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class Ended:
    """A choice is complete. `stop` is the stop string that came, if one did."""

    choice: int
    reason: EndReason
    stop: str = ""


@dataclass(frozen=True, slots=True)
class Cost:
    """The job is complete: the last event. What was said before counts as completion, the times are this process's."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    queue_seconds: float
    prefill_seconds: float
    decode_seconds: float


Event = Queued | Prefilling | Tokens | Ended | Cost


Item_co = TypeVar("Item_co", covariant=True)


class Stream(Protocol[Item_co]):
    """Running work: iterate for lists of what it has made, oldest first, whatever has piled up since the last one."""

    def __aiter__(self) -> AsyncIterator[Sequence[Item_co]]:
        """Lists until the end; raises RpcError if the work fails."""

    def cancel(self) -> None:
        """Give up: the queue place or the slots are free within one engine step. May be called again, and late."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """The vector of one input, of length 1."""

    index: int
    values: Sequence[float]
    tokens: int


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What a loaded model is and can do."""

    context_tokens: int
    """Prompt and answer of one call together."""
    embedding_tokens: int
    """The longest input of an embedding."""
    embedding_dimensions: int
    vocabulary: int
    """Token ids are 0 to this, excluded."""
    generates: bool
    """False for models that only embed."""
    template: str
    """Chat template in Jinja2; empty: the file has none."""
    begin_text: str
    """Spelling of the token that begins a text; empty: none."""
    end_text: str
    """Spelling of the token that ends a turn."""
    begins: bool
    """The tokenizer puts the begin token before every text."""
    control_texts: frozenset[str]
    """Spelling of every control token."""
    infill: tuple[int, int, int] | None
    """Tokens before prefix, suffix and middle of a text with a gap; None: the model cannot fill in."""
    embeds: bool = True
    """False for models whose vectors mean nothing."""
    sampling: SamplingSettings = SamplingSettings()
    """How tokens are chosen where the caller does not say; a model's file may set its own."""
    obeys: frozenset[str] = frozenset()
    """Kinds of constraints that the engine can hold an answer to: see `Constraint.kinds`. Others never reach it."""
    continues: bool = False
    """It takes up what another process of the same model has said (`Job.said`). False: such a job never reaches it."""

    @property
    def chats(self) -> bool:
        """Whether conversations can be put to it: it generates and has a chat template."""
        return self.generates and bool(self.template)


class Engine(Protocol):
    """A model that is loaded."""

    @property
    def info(self) -> EngineInfo:
        """What the model is and can do."""

    def tokenize(self, text: str, *, control: bool, begin: bool = False) -> list[int]:
        """Token ids of a text. Only with `control` do spellings of control tokens become these tokens.

        With `begin` come the tokens that the model wants around a whole text.
        """

    def submit(self, job: Job) -> Stream[Event]:
        """Begin a job; its last event is the Cost.

        Raises RpcError: QUEUE_FULL, CONTEXT_LENGTH_EXCEEDED, INVALID_SCHEMA, ADAPTER_NOT_FOUND, SHUTTING_DOWN.
        """

    def embed(self, inputs: Sequence[Sequence[int]]) -> Stream[Embedding]:
        """Vectors in the order of the inputs."""

    async def load_adapter(self, name: str, path: Path) -> None:
        """Load an adapter; doing it again with the same file does nothing. Raises RpcError MODEL_LOAD_FAILED."""

    async def close(self) -> None:
        """Fail what is running with INTERRUPTED and free the model."""
