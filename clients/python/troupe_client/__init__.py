"""Troupe from Python: typed clients over gRPC that survive lost connections.

async with connect() as hub:
    async for piece in hub.ask("What is a lease?"):
        print(piece, end="")
"""

from bus.errors import BusyStream, Code, RpcError
from troupe_client.blobs import Blobs
from troupe_client.channel import GrpcChannel
from troupe_client.conversation import DEFAULT_MODEL, Conversation, text_of, turn
from troupe_client.failures import ConnectionLost, HubUnreachable, RequestsLost
from troupe_client.hub import Hub, connect

__all__ = [
    # Connecting
    "GrpcChannel",
    "Hub",
    "connect",
    # Conversations
    "DEFAULT_MODEL",
    "Conversation",
    "text_of",
    "turn",
    # Large content
    "Blobs",
    # Errors
    "BusyStream",
    "Code",
    "ConnectionLost",
    "HubUnreachable",
    "RequestsLost",
    "RpcError",
]
