"""The words of a call: what is offered, what a handler knows of its call, what can go wrong.

Generated code, actors and clients import them from here, and load neither a transport nor a server with them. What
opens and serves calls is imported from where it is: `bus.channel`, `bus.server`, `bus.transports.nats` or `memory`.
The bus knows no capability: what is called is described by troupe.rpc.v1 and by generated code.
"""

from bus.context import Context, current_context
from bus.errors import Code, RpcError, invalid, nearest
from bus.service import Caller, Metadata, MethodInfo, Policy, ServiceInfo

__all__ = [
    # What is offered
    "MethodInfo",
    "Policy",
    "ServiceInfo",
    # Calling
    "Caller",
    "Metadata",
    # Serving
    "Context",
    "current_context",
    # Errors
    "Code",
    "RpcError",
    "invalid",
    "nearest",
]
