"""Models that are asked for what they do not do: one that makes embeddings to chat, one that chats for embeddings."""

from collections.abc import Sequence

from bus import Code, RpcError, invalid
from troupe.chat.v1 import ChatService
from troupe.embedding.v1 import EmbeddingService

METHOD_LIMIT = 256
"""Bytes of a method's full name."""
SHOWN = 5
"""Names that an error tells."""
DOES = {ChatService.INFO.name: "chat", EmbeddingService.INFO.name: "make embeddings"}
"""What models do, by service."""


def check_method(method: str) -> None:
    """Raises RpcError INVALID_ARGUMENT for what is no full name of a method."""
    service, slash, name = method.partition("/")
    if method and (len(method.encode()) > METHOD_LIMIT or not (service and slash and name)):
        message = f"method is {method[:80]!r}; it must be a full name like 'troupe.chat.v1.ChatService/Generate'."
        raise invalid(message, "method")


def unsuitable(name: str, services: Sequence[str], service: str, others: Sequence[str]) -> RpcError:
    """A model is asked for a service that it does not offer; asking again will not help."""
    does = " and ".join(dict.fromkeys(_does(each) for each in services)) or "do nothing that can be called"
    shown = ", ".join(others[:SHOWN])
    instead = f"Ask one that does: {shown}." if shown else "This hub has none that does; see `troupe models`."
    return RpcError(
        Code.INVALID_ARGUMENT,
        f"The model {name!r} can {does}, but not {_does(service)}. {instead}",
        reason="MODEL_UNSUITABLE",
        metadata={"name": name, "service": service},
        field="model",
    )


def _does(service: str) -> str:
    name = service.partition("/")[0]
    return DOES.get(name, f"serve {name.rpartition('.')[2]}")
