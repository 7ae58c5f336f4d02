"""RPC with streams on NATS: one contract, four stream shapes, credit, deadlines, cancellation, resume.

It knows no capability: what is called is described by troupe.rpc.v1 and by generated code.
"""

from bus.call import Call
from bus.channel import Channel, Resolver
from bus.context import Context, current_context
from bus.errors import Code, RpcError, invalid, nearest
from bus.interceptor import Interceptor
from bus.server import Server
from bus.server_call import ServerCall
from bus.service import Caller, Metadata, MethodInfo, Policy, ServiceInfo
from bus.transports import Message, Transport
from bus.transports.memory import MemoryBroker, MemoryTransport
from bus.transports.nats import NatsTransport

__all__ = [
    # What is offered
    "MethodInfo",
    "Policy",
    "ServiceInfo",
    # Calling
    "Call",
    "Caller",
    "Channel",
    "Metadata",
    "Resolver",
    # Serving
    "Context",
    "Interceptor",
    "Server",
    "ServerCall",
    "current_context",
    # Errors
    "Code",
    "RpcError",
    "invalid",
    "nearest",
    # Transports
    "MemoryBroker",
    "MemoryTransport",
    "Message",
    "NatsTransport",
    "Transport",
]
