"""What a profile of a model measures: every context with every number of slots, the small ones first."""

from collections.abc import Sequence

from actors.model.overrides import LEAST_CONTEXT, MOST_SLOTS, Overrides
from bus import Code, RpcError, invalid
from troupe.family.v1 import Needs
from troupe.model.v1 import Figures, Model, ProfileModelRequest

MOST_VALUES, MOST_OTHERS, MOST_ALL = 16, 8, 64
"""Contexts, and numbers of slots; other models; measurements in all."""
MOST_CONTEXT = 1 << 22
ALIKE = 0.1
"""Quantizations of one model differ in what they count as parameters by less than this share."""
DEFAULT_CONTEXT, DEFAULT_SLOTS = 2048, 8
"""Where a family does not tell what its settings say."""


def check_request(request: ProfileModelRequest) -> None:
    """Raises RpcError INVALID_ARGUMENT for what can never be measured."""
    _check_values("contexts", request.contexts, LEAST_CONTEXT, MOST_CONTEXT)
    _check_values("slots", request.slots, 1, MOST_SLOTS)
    if len(request.others) > MOST_OTHERS:
        raise invalid(f"others has {len(request.others)} entries; at most {MOST_OTHERS} are measured.", "others")
    count = max(1, len(set(request.contexts))) * max(1, len(set(request.slots))) * (1 + len(request.others))
    if count > MOST_ALL:
        raise invalid(f"These are {count} measurements; at most {MOST_ALL} are made in one profile.", "contexts")


def _check_values(name: str, values: Sequence[int], least: int, most: int) -> None:
    if len(values) > MOST_VALUES:
        raise invalid(f"{name} has {len(values)} entries; at most {MOST_VALUES} are measured.", name)
    wrong = [value for value in values if not least <= value <= most]
    if wrong:
        raise invalid(f"{name} has {wrong[0]}; {least} to {most:,} can be measured.", name)


def check_alike(model: Model, other: Model) -> None:
    """Raises RpcError INVALID_ARGUMENT (NOT_THE_SAME_MODEL) for what is no other quantization of a model."""
    near = abs(other.parameters - model.parameters) <= ALIKE * model.parameters
    if other.architecture != model.architecture or not near:
        message = (
            f"{other.name} is no quantization of {model.name}: it is {other.architecture or 'unknown'} with "
            f"{other.parameters:,} parameters, not {model.architecture or 'unknown'} with {model.parameters:,}."
        )
        raise RpcError(Code.INVALID_ARGUMENT, message, reason="NOT_THE_SAME_MODEL", field="others")


def settings_of(request: ProfileModelRequest, needs: Needs) -> list[Overrides]:
    """The settings to measure one model under. Raises RpcError INVALID_ARGUMENT for too long a context."""
    context, slots = needs.context_tokens or DEFAULT_CONTEXT, needs.slots or DEFAULT_SLOTS
    contexts = sorted(set(request.contexts) or {max(LEAST_CONTEXT, context // 4), context})
    trained = needs.trained_context_tokens
    if trained and contexts[-1] > trained:
        raise invalid(f"contexts has {contexts[-1]}; the model was trained for {trained:,} tokens.", "contexts")
    numbers = sorted(set(request.slots) or {1, slots})
    return [Overrides(context, number) for context in contexts for number in numbers]


def measured_so(figures: Figures, model: str, overrides: Overrides) -> bool:
    """Whether figures are those of a model ("family/name") under these settings."""
    return (figures.model, figures.context_tokens, figures.slots) == (model, overrides.context, overrides.slots)
