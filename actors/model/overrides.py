"""Settings of one process of a model that differ from its family's, and its name beside the model."""

import re
from dataclasses import dataclass

from google.protobuf.unknown_fields import UnknownFieldSet

from bus import Code, RpcError, invalid
from troupe.family.v1 import Overrides as Told

LEAST_CONTEXT = 64
MOST_SLOTS = 64
NAME = re.compile(r"(?P<model>.+)@context=(?P<context>\d{1,9}),slots=(?P<slots>\d{1,4})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Overrides:
    """0 is "as the settings say". context: tokens of one call. slots: calls at a time."""

    context: int = 0
    slots: int = 0

    def __bool__(self) -> bool:
        return bool(self.context or self.slots)

    def named(self, model: str) -> str:
        """The name of a model's process under these settings."""
        return f"{model}@context={self.context},slots={self.slots}"


def overrides_of(told: Told) -> Overrides:
    """As the contract has them. Raises RpcError INVALID_ARGUMENT for what is out of range or not known here."""
    if UnknownFieldSet(told):
        raise invalid(
            "overrides has settings that this hub does not know; it knows context_tokens and slots.", "overrides"
        )
    if told.context_tokens and told.context_tokens < LEAST_CONTEXT:
        raise invalid(f"context_tokens is {told.context_tokens}; it is at least {LEAST_CONTEXT}.", "overrides")
    if told.slots > MOST_SLOTS:
        raise invalid(f"slots is {told.slots}; it is at most {MOST_SLOTS}.", "overrides")
    return Overrides(told.context_tokens, told.slots)


def parted(name: str) -> tuple[str, Overrides]:
    """A model's name and the settings that a process's name tells; none in any other name."""
    found = NAME.fullmatch(name)
    if found is None:
        return name, Overrides()
    return found["model"], Overrides(int(found["context"]), int(found["slots"]))


def check_trained(overrides: Overrides, trained: int) -> None:
    """Raises RpcError INVALID_ARGUMENT for a longer context than the model was trained for; 0: not known."""
    if trained and overrides.context > trained:
        raise invalid(f"context_tokens is {overrides.context}; the model was trained for {trained}.", "overrides")


def unsupported(family: str) -> RpcError:
    """A family that runs its models under the settings alone."""
    message = f"The family {family} runs its models under its settings alone; change them and restart the hub."
    return RpcError(Code.UNIMPLEMENTED, message, reason="OVERRIDES_UNSUPPORTED")


def in_use(name: str) -> RpcError:
    """Another call holds this process, or it is about to end."""
    message = f"{name} is held by another call; try again when that has ended."
    return RpcError(Code.UNAVAILABLE, message, reason="OVERRIDES_IN_USE", retry_after=5.0)
