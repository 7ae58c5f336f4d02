"""Has a route served that nobody serves, by the method that the contract names for it."""

from collections.abc import AsyncGenerator, Callable

from bus.behalf import CREDENTIAL, PRINCIPAL, PRIORITY, REQUEST_ID, SCOPES
from bus.caller import Caller
from bus.errors import Code, RpcError
from bus.fields import PROGRESS_FIELD
from bus.service import Metadata, MethodInfo
from troupe.rpc.v1 import Progress

Resolver = Callable[[MethodInfo, str, Metadata], AsyncGenerator[Progress, None]]
"""Sees to it that somebody serves the method's route, and tells how that goes; its error becomes the call's.

Takes the metadata of the call for which it is asked.
"""

Find = Callable[[str], MethodInfo | None]
"""A method of the contract by its full name."""

TRAVELS = (PRINCIPAL, SCOPES, CREDENTIAL, PRIORITY, REQUEST_ID, "traceparent", "tracestate")
"""Metadata that the resolving call takes over."""


def resolver(caller: Caller, find: Find) -> Resolver:
    """Asks by a call of its own. A channel that is given it knows no capability: the contract says whom to ask."""

    async def resolve(method: MethodInfo, route: str, metadata: Metadata) -> AsyncGenerator[Progress, None]:
        resolution = method.policy.resolved_by
        asked = find(resolution.method) if resolution is not None else None
        if resolution is None or asked is None:
            raise RpcError(Code.INTERNAL, f"Nobody is known here who has {method.full_name} served.")
        told = {resolution.method_field: method.full_name} if resolution.method_field else {}
        request = asked.request(**{resolution.field: route}, **told)
        carried = {key: metadata[key] for key in TRAVELS if key in metadata}
        field = asked.response.DESCRIPTOR.fields_by_number[PROGRESS_FIELD].name
        async with caller.server_stream(asked, request, metadata=carried) as answers:
            async for answer in answers:
                if answer.HasField(field):
                    yield getattr(answer, field)

    return resolve
