"""What happens around every call."""

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from bus import Code, RpcError
from bus.interceptor import Next, Served
from bus.testing import Hall
from bus.testing.hall import SAY, WAIT, Probe, within
from bus.transports.memory import MemoryBroker, MemoryTransport


class OneBus:
    """Joins processes to one bus."""

    def __init__(self) -> None:
        self._broker = MemoryBroker()

    async def __call__(self) -> MemoryTransport:
        return MemoryTransport(self._broker)


async def test_interceptors_wrap_calls_in_order_and_may_refuse() -> None:
    heard: list[str] = []

    class Noting:
        def __init__(self, name: str) -> None:
            self._name = name

        async def __call__(self, call: Served, proceed: Next) -> None:
            heard.append(f"{self._name} before {call.method.name}")
            call.on_sent = lambda: heard.append("sent")
            await proceed(call)
            heard.append(f"{self._name} after")

    class Refusing:
        async def __call__(self, call: Served, proceed: Next) -> None:
            if call.method is WAIT:
                raise RpcError(Code.PERMISSION_DENIED, "No.")
            await proceed(call)

    async with Hall(OneBus()) as hall:
        await hall.serve(Probe(), interceptors=(Noting("outer"), Noting("inner"), Refusing()))
        channel = await hall.channel()
        await within(channel.unary(SAY, StringValue(value="x")))
        assert heard == ["outer before Say", "inner before Say", "sent", "inner after", "outer after"]
        call = await hall.open(channel, WAIT, "")
        with pytest.raises(RpcError) as caught:
            await within(anext(call))
        assert caught.value.reason == "PERMISSION_DENIED"
