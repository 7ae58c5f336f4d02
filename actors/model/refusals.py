"""What engines refuse, in the same words whichever they are."""

from bus import Code, RpcError


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
