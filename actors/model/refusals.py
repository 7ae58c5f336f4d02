"""What engines and families refuse, in the same words whichever they are."""

from collections.abc import Sequence

from bus import Code, RpcError, nearest

SHOWN = 5
"""Names that an error about an unknown one tells."""

INSUFFICIENT_MEMORY = "INSUFFICIENT_MEMORY"
"""The stage's reason where nothing fits, and an engine's where what was granted was not there."""


def context_exceeded(prompt_tokens: int, max_tokens: int, context_tokens: int) -> RpcError:
    """A prompt and the answer that is wanted do not fit; nothing is ever cut off in silence."""
    # A caller who set no max_tokens is given all the room there is: only a prompt that leaves none is refused then.
    room = context_tokens - prompt_tokens
    more = f" and {max_tokens} more are wanted" if room > 0 else ""
    message = (
        f"The prompt has {prompt_tokens} tokens{more}, but the model's context holds {context_tokens}. Shorten the "
        f"conversation{f' or lower max_tokens to {room}' if room > 0 else ''}."
    )
    counts = {"prompt_tokens": prompt_tokens, "max_tokens": max_tokens, "context_tokens": context_tokens}
    metadata = {key: str(value) for key, value in counts.items()}
    return RpcError(Code.INVALID_ARGUMENT, message, reason="CONTEXT_LENGTH_EXCEEDED", metadata=metadata)


def dead_end() -> RpcError:
    """A constraint lets no token of the vocabulary through."""
    message = "No token of this model's vocabulary can continue the text under the requested format."
    return RpcError(Code.INVALID_ARGUMENT, message, reason="INVALID_SCHEMA")


def load_failed(name: str, why: str) -> RpcError:
    """A model cannot be served. `why` is a sentence that names it or its file."""
    return RpcError(Code.FAILED_PRECONDITION, why, reason="MODEL_LOAD_FAILED", metadata={"model": name})


def out_of_memory(name: str, why: str) -> RpcError:
    """A model's engine got no memory, or too little. `why` is its library's own word."""
    message = f"{name} has run out of memory: {why}."
    metadata = {"model": name}
    return RpcError(Code.RESOURCE_EXHAUSTED, message, reason=INSUFFICIENT_MEMORY, metadata=metadata, retry_after=5.0)


def unloaded(name: str) -> RpcError:
    """A model that was being loaded was unloaded before it served."""
    message = f"The model {name} was unloaded meanwhile; ask again."
    return RpcError(Code.UNAVAILABLE, message, reason="MODEL_UNLOADED", metadata={"model": name}, retry_after=1.0)


def revoked(name: str, reason: str) -> RpcError:
    """A model had to give its memory back. `reason` is the stage's, a sentence."""
    message = f"{name} has made room: {reason} It is loaded again when it is asked for."
    return RpcError(Code.UNAVAILABLE, message, reason="MODEL_UNLOADED", metadata={"model": name}, retry_after=1.0)


def lost(name: str, how: str) -> RpcError:
    """A model's process has ended and is started again. `how` is no sentence: "it was ended by SIGKILL"."""
    return RpcError(Code.UNAVAILABLE, how, reason="ENGINE_LOST", metadata={"model": name}, retry_after=1.0)


def unhealthy(name: str, why: str) -> RpcError:
    """A model is loaded and does not do what it should. `why` is a sentence."""
    message = f"{name} is loaded and does not work: {why}"
    return RpcError(Code.FAILED_PRECONDITION, message, reason="MODEL_UNHEALTHY", metadata={"model": name})


def of_model(name: str, error: RpcError) -> RpcError:
    """What a model's life refuses as one more caller hears it: the same, with the model's name."""
    told = RpcError.from_status(error.to_status())
    told.metadata = {"model": name, **told.metadata}
    return told


def not_removable(name: str, why: str) -> RpcError:
    """Its files are not the hub's to remove. why: a part of a sentence."""
    message = f"{name} is not removed: {why}."
    return RpcError(Code.FAILED_PRECONDITION, message, reason="MODEL_NOT_REMOVABLE", field="model")


def not_found(kind: str, name: str, known: Sequence[str], reason: str) -> RpcError:
    """There is nothing of this name."""
    close = nearest(name, known)
    some = sorted(known)[:SHOWN]
    others = f"Those there are: {', '.join(some)}." if some else f"There is no {kind} at all."
    hint = f"Did you mean {' or '.join(close)}?" if close else others
    metadata = {"name": name[:200], "nearest": ",".join(close)}
    return RpcError(
        Code.NOT_FOUND, f"There is no {kind} {name[:200]!r}. {hint}", reason=reason, metadata=metadata, field=kind
    )
