"""Models as text."""

from typing import TYPE_CHECKING

from cli.plain_text import size_text, time_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.message import Message

    from troupe.model.v1 import Model
    from troupe.rpc.v1 import Progress


MAX_NAME = 50
"""Letters of a name in a list; `troupe models show` has all of it."""


def reasons(models: "Iterable[Model]") -> list[str]:
    """Why models do not serve; one sentence for all of a family that is away."""
    from troupe.model.v1 import ModelState

    away = ModelState.MODEL_STATE_UNAVAILABLE
    return [each.error if each.state == away else f"{each.name}: {each.error}" for each in models if each.error]


def row(model: "Model") -> tuple[str, ...]:
    """One line of the list."""
    offers = ", ".join(map(offer, model.services))
    marks = f"{', pinned' if model.pinned else ''}{' *' if model.default else ''}"
    return (
        model.name if len(model.name) <= MAX_NAME else f"{model.name[: MAX_NAME - 1]}…",
        state_of(model) + marks,
        " ".join(filter(None, (model.architecture, model.quantization))),
        size_text(model.size_bytes),
        str(model.context_tokens or ""),
        offers,
    )


def offer(service: str) -> str:
    """A service in one word; where only one method of it is offered, that one."""
    name, _, method = service.rpartition(".")[2].partition("/")
    return (method or name.removesuffix("Service")).lower()


def details(model: "Model") -> list[tuple[str, str]]:
    """What is known of a model, one line each; what is not known is left out."""
    pairs = [
        ("name", model.name),
        ("state", f"{state_of(model)}, the default" if model.default else state_of(model)),
        ("health", health_of(model)),
        ("error", model.error),
        ("description", model.description),
        ("note", model.note),
        ("full name", model.qualified_name),
        ("aliases", ", ".join(model.aliases)),
        ("pinned", "yes" if model.pinned else ""),
        ("owner", model.owner),
        ("source", model.source),
        ("licence", model.license),
        ("family", model.family),
        ("architecture", model.architecture),
        ("quantization", model.quantization),
        ("parameters", f"{model.parameters:,}" if model.parameters else ""),
        ("size", size_text(model.size_bytes)),
        ("context", f"{model.context_tokens:,} tokens" if model.context_tokens else ""),
        ("embedding", f"{model.embedding_dimensions} dimensions" if model.embedding_dimensions else ""),
        ("takes", ", ".join(model.input_modalities)),
        ("gives", ", ".join(model.output_modalities)),
        ("languages", ", ".join(model.languages)),
        ("good at", ", ".join(model.specialties)),
        ("adapters", ", ".join(model.adapters)),
        ("services", ", ".join(model.services)),
        ("modified", time_text(model.modified.ToNanoseconds() / 1e9) if model.HasField("modified") else ""),
        ("digest", model.digest),
        ("measured", figures_of(model)),
    ]
    return [(name, value) for name, value in pairs if value]


def figures_of(model: "Model") -> str:
    """How fast it is, in a few words; `troupe models show` has the table."""
    if not model.HasField("figures"):
        return ""
    said, found = [], model.figures
    if found.HasField("first_token"):
        said.append(f"first token in {found.first_token.ToNanoseconds() / 1e9:.2f} s")
    if found.tokens_per_second:
        said.append(f"{found.tokens_per_second:,.0f} tokens/s")
    if found.host_bytes or found.accelerator_bytes:
        said.append(size_text(found.host_bytes + found.accelerator_bytes))
    return f"{', '.join(said)}, with {found.context_tokens:,} tokens of context and {found.slots} at a time"


def health_of(model: "Model") -> str:
    """What came of its last check."""
    from troupe.model.v1 import HealthState, ModelState

    if not model.HasField("health"):
        return "not checked yet" if model.state == ModelState.MODEL_STATE_READY else ""
    at = time_text(model.health.checked.ToNanoseconds() / 1e9)
    if model.health.state == HealthState.HEALTH_STATE_FAILING:
        return f"failing, {at}: {model.health.error}"
    return f"healthy, {at}: answered in {model.health.latency.ToNanoseconds() / 1e9:.2f} s"


def state_of(model: "Model") -> str:
    """A model's state as one word, two where it serves and does not work.

    One that served and is loaded again, because it ended or hung, is "restarting".
    """
    from troupe.model.v1 import HealthState, ModelState

    if model.state == ModelState.MODEL_STATE_READY and model.health.state == HealthState.HEALTH_STATE_FAILING:
        return "ready, failing"
    if model.state == ModelState.MODEL_STATE_LOADING and model.error:
        return "restarting"
    return ModelState.Name(model.state).removeprefix("MODEL_STATE_").lower()


def progress_text(progress: "Progress") -> str:
    """What a call waits for, in a few words."""
    words = [type(progress).State.Name(progress.state).removeprefix("STATE_").lower()]
    if progress.position:
        words.append(f"position {progress.position}")
    if progress.fraction:
        words.append(f"{progress.fraction:.0%}")
    return " ".join([*words, progress.note]).rstrip()


def print_json(message: "Message") -> None:
    """One of the contract's messages as a line."""
    from google.protobuf import json_format

    print(json_format.MessageToJson(message, indent=None, ensure_ascii=False), flush=True)
