"""The words of a call: what is offered, what a handler knows of its call, what can go wrong.

Generated code, actors and clients import them from here, and load neither a transport nor a server with them. What
opens and serves calls is imported from where it is: `bus.channel`, `bus.server`, `bus.transports.nats` or `memory`.
The bus knows no capability: what is called is described by troupe.rpc.v1 and by generated code.
"""

from bus.behalf import Behalf
from bus.caller import Caller, StreamCall, UnaryCall
from bus.context import Context, current_context, detached, in_own_name, on_behalf_of
from bus.errors import BusyStream, Code, RpcError, invalid, nearest
from bus.priority import Priority
from bus.service import Metadata, MethodInfo, Policy, Resolution, ServiceInfo, continues

__all__ = [
    # What is offered
    "MethodInfo",
    "Policy",
    "Priority",
    "Resolution",
    "ServiceInfo",
    # Calling
    "Caller",
    "Metadata",
    "StreamCall",
    "UnaryCall",
    # Serving
    "Context",
    "continues",
    "current_context",
    # On whose behalf
    "Behalf",
    "detached",
    "in_own_name",
    "on_behalf_of",
    # Errors
    "BusyStream",
    "Code",
    "RpcError",
    "invalid",
    "nearest",
]
