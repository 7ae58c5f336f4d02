"""What a family of models consists of: models, what brings each to life, and the shelf that has them all."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol, TypeVar

from bus import RpcError
from troupe.family.v1 import Needs, PrepareQuantizationResponse
from troupe.model.v1 import Model, ModelState
from troupe.rpc.v1 import Progress


class Entry(Protocol):
    """A model that a family knows. Two entries that are equal are the same model, unchanged."""

    @property
    def name(self) -> str:
        """Its name within the family."""

    @property
    def error(self) -> str:
        """Why it cannot be loaded, as a sentence; empty: nothing is known against it."""


class Life(Protocol):
    """What serves one model, from start to stop and again.

    It may have a `trouble`, a function: what the family is to tell of it, as a sentence; empty: nothing. And
    `measured`, a troupe.family.v1.Measured or None: what it takes. And `unwell(error, last)`: it serves and does not do
    what it should; it is started again, or with `last` left as failed, with this error. And a true `replicates`: it may
    be several processes that share the calls.
    """

    @property
    def state(self) -> ModelState:
        """How it is."""

    @property
    def error(self) -> RpcError | None:
        """Why it has failed or left, as whoever waits for it hears it; while it loads, why it does so again."""

    @property
    def progress(self) -> Progress:
        """What it waits for, or how far it is, until loading is over; a note of its own is shown as it is."""

    on_change: Callable[[], None]
    """To be called whenever state, error or progress have changed."""

    @property
    def settled(self) -> bool:
        """Whether loading is over, one way or the other."""

    async def start(self) -> None:
        """Begin to load, unless it is loading or loaded already."""

    def changes(self) -> AsyncIterator[None]:
        """Yields at once and after each change, until loading is over."""

    async def stop(self) -> None:
        """Let it finish its calls and end. Harmless when it does not run."""


Known = TypeVar("Known", bound=Entry)


Prepare = Callable[[Known, str, str], PrepareQuantizationResponse]


class Shelf(Protocol[Known]):
    """What a family's models are.

    It may have a `place`: the file or folder that is looked at now, for people; asked while a thread looks. It may have
    `check_removable(entry)`, which raises RpcError MODEL_NOT_REMOVABLE for what is not the hub's to remove, and with it
    `remove(entry) -> int`, called in a thread: removes the model's files for good and returns their bytes. It may have
    `prepare_quantization(entry, quantization, new_name)`, called in a thread: answers as PrepareQuantization does.
    It may have `files(entry)`, called in a thread: the paths of the model's weights, whose hash is then told. It may
    have `varied(entry, overrides)`: the entry of the same model under other settings, by the name that `overrides`
    gives it; raises RpcError INVALID_ARGUMENT where the model cannot run so.
    """

    def entries(self) -> Mapping[str, Known]:
        """All models by name, looked up anew. May read files: it is called in a thread, one call at a time."""

    def describe(self, entry: Known) -> Model:
        """What the contract says of it; state and names are left out. May read files, as `entries`."""

    def needs(self, entry: Known) -> Needs:
        """What it takes while it runs. May read and measure: it is called in a thread."""

    def life(self, entry: Known) -> Life:
        """What will serve it; not started."""
