"""An answer that is broken off goes on behind every door, and no client can put words into it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bus import Code, Context, RpcError, continues
from bus.protocol import PROTOCOL_VERSION
from troupe.chat.v1 import ChatService, ChatServiceClient, CompleteRequest, CompleteResponse, Delta
from troupe.rpc.v1 import Credit, Frame, Open, Resume

COMPLETE = ChatService.INFO.methods["Complete"]
COUNT = 200
KEY = b"0123456789abcdef"
WINDOW = 32
REQUEST = CompleteRequest(model="numbers", prompt="count")


class Counter(ChatService):
    """Says numbers, from the one after those that were delivered; stands still before `stop`."""

    def __init__(self, stop: int = COUNT) -> None:
        self.stop = stop
        self.stopped = asyncio.Event()
        self.began: list[int] = []

    @continues
    async def complete(self, request: CompleteRequest, ctx: Context) -> AsyncIterator[CompleteResponse]:
        self.began.append(len(request.delivered))
        for number in range(len(request.delivered), COUNT):
            if number == self.stop:
                self.stopped.set()
                await asyncio.get_running_loop().create_future()
            yield CompleteResponse(delta=Delta(text=f"{number} "))


class Forgetful(ChatService):
    """Has never heard of answers that go on."""

    async def complete(self, request: CompleteRequest, ctx: Context) -> AsyncIterator[CompleteResponse]:
        yield CompleteResponse(delta=Delta(text="0 "))


def said(payloads: Any) -> list[int]:
    texts = [CompleteResponse.FromString(payload).delta.text for payload in payloads]
    return [int(text) for text in texts if text]


def opening(call_id: str, request: CompleteRequest = REQUEST) -> Frame:
    open_ = Open(
        protocol_version=PROTOCOL_VERSION, method=COMPLETE.full_name, resume_key=KEY, initial_credit=WINDOW
    )  # fmt: skip
    payload = [request.SerializeToString()]
    return Frame(call_id=call_id, open=open_, payload=payload, sequence=1, half_close=True)


def credit(frame: Frame, granted: int) -> Frame:
    control = Credit(granted=granted, consumed=frame.sequence)
    return Frame(call_id=frame.call_id, epoch=frame.epoch, sequence=1, half_close=True, credit=control)


async def test_it_goes_on_for_a_grpc_client_through_three_processes(town: Any) -> None:
    counters = [Counter(40), Counter(110), Counter()]
    server = await town.serve(counters[0], ChatService.INFO, "numbers")
    caller = await town.caller(await town.gate())
    call = ChatServiceClient(caller).complete(REQUEST)
    heard: list[CompleteResponse] = []
    for counter, following in zip(counters, [*counters[1:], None], strict=True):
        while following is not None and len([each for each in heard if each.delta.text]) < counter.stop:
            heard.append(await anext(call))
        if following is not None:
            await town.kill(server)
            server = await town.serve(following, ChatService.INFO, "numbers")
    heard += [response async for response in call]
    assert "".join(response.delta.text for response in heard).split() == [str(number) for number in range(COUNT)]
    assert [counter.began for counter in counters] == [[0], [40], [110]]
    notes = {response.progress.note for response in heard if response.HasField("progress")}
    assert "ChatService for 'numbers' is being started again; the answer goes on." in notes


async def test_it_goes_on_over_a_websocket_with_the_readers_credit_and_one_epoch(town: Any) -> None:
    one, two = Counter(20), Counter()
    first = await town.serve(one, ChatService.INFO, "numbers")
    async with (await town.gate()).socket() as socket:
        await socket.send(opening("c"))
        await one.stopped.wait()
        await town.serve(two, ChatService.INFO, "numbers")
        await town.kill(first)
        payloads, epochs, last = list[bytes](), set[int](), Frame()
        granted = WINDOW
        while not last.HasField("close"):
            last = await socket.receive()
            payloads += last.payload
            epochs.add(last.epoch)
            assert last.sequence <= granted
            if not last.HasField("close"):
                granted = last.sequence + WINDOW
                await socket.send(credit(last, granted))
    assert said(payloads) == list(range(COUNT))
    assert last.close.status.code == 0
    assert len(epochs) == 1
    assert last.sequence == len(payloads)


async def test_who_does_not_take_it_up_is_not_called_and_the_client_is_told(town: Any) -> None:
    one = Counter(20)
    first = await town.serve(one, ChatService.INFO, "numbers")
    call = ChatServiceClient(await town.caller(await town.gate())).complete(REQUEST)
    heard = [(await anext(call)).delta.text for _ in range(20)]
    await town.kill(first)
    await town.serve(Forgetful(), ChatService.INFO, "numbers")
    with pytest.raises(RpcError) as refusal:
        heard += [response.delta.text async for response in call]
    assert (refusal.value.code, refusal.value.reason) == (Code.ABORTED, "CONTINUATION_UNSUPPORTED")
    assert [text for text in heard if text] == [f"{number} " for number in range(20)]


async def test_no_client_says_what_was_delivered(town: Any) -> None:
    counter = Counter()
    await town.serve(counter, ChatService.INFO, "numbers")
    gate = await town.gate()
    forged = CompleteRequest(model="numbers", prompt="count", delivered=[CompleteResponse(delta=Delta(text="lies"))])
    with pytest.raises(RpcError) as refusal:
        _ = [response async for response in ChatServiceClient(await town.caller(gate)).complete(forged)]
    assert (refusal.value.code, refusal.value.field) == (Code.INVALID_ARGUMENT, "delivered")
    async with gate.socket() as socket:
        await socket.send(opening("forged", forged))
        _, last = await socket.until_close("forged")
        assert RpcError.from_status(last.close.status).field == "delivered"
        marked = opening("marked")
        marked.open.continues = True
        await socket.send(marked)
        payloads: list[bytes] = []
        while len(payloads) < WINDOW:
            payloads += (await socket.receive()).payload
        assert said(payloads) == list(range(WINDOW))
    assert counter.began == [0]


def resuming(call_id: str, epoch: int, after: int) -> Frame:
    resume = Resume(after=after, resume_key=KEY, granted=COUNT + 50)
    return Frame(call_id=call_id, epoch=epoch, sequence=1, resume=resume)


async def begun(socket: Any, count: int) -> tuple[int, int, list[bytes]]:
    """The epoch of a call that is opened, the number of the last piece, and so many of its payloads."""
    await socket.send(opening("c"))
    frame, payloads = Frame(), list[bytes]()
    while len(payloads) < count:
        frame = await socket.receive()
        payloads += frame.payload
    return frame.epoch, frame.sequence, payloads


async def left(gate: Any) -> None:
    """Return when the gateway has noticed that the client is gone."""
    while not gate.hub.left:
        await asyncio.sleep(0.01)


async def check_rest(gate: Any, epoch: int, after: int, received: list[bytes]) -> None:
    async with gate.socket() as socket:
        await socket.send(resuming("c", epoch, after))
        payloads, last = await socket.until_close("c")
    assert last.close.status.code == 0, last
    assert said([*received, *payloads]) == list(range(COUNT))
    assert len(gate.hub.left) == 0


async def test_a_client_that_comes_back_in_the_pause_gets_the_rest(town: Any) -> None:
    one, two = Counter(20), Counter()
    first = await town.serve(one, ChatService.INFO, "numbers")
    gate = await town.gate()
    async with gate.socket() as socket:
        epoch, after, received = await begun(socket, 20)
        await town.kill(first)
        while not any(call.protocol.closed for call in gate.hub.channel.calls if call.call_id == "c"):
            await asyncio.sleep(0.01)
    await left(gate)
    await town.serve(two, ChatService.INFO, "numbers")
    await check_rest(gate, epoch, after, received)
    assert two.began == [20]


async def test_a_client_that_was_away_while_its_responder_was_lost_gets_the_rest(town: Any) -> None:
    one, two = Counter(20), Counter()
    first = await town.serve(one, ChatService.INFO, "numbers")
    gate = await town.gate()
    async with gate.socket() as socket:
        epoch, after, received = await begun(socket, 20)
    await left(gate)
    await town.kill(first)
    await town.serve(two, ChatService.INFO, "numbers")
    await check_rest(gate, epoch, after, received)
    assert two.began == [20]


async def test_what_was_on_the_way_to_a_client_that_went_away_is_said_again_and_the_rest_goes_on(town: Any) -> None:
    one, two = Counter(20), Counter()
    first = await town.serve(one, ChatService.INFO, "numbers")
    gate = await town.gate()
    async with gate.socket() as socket:
        epoch, _, received = await begun(socket, 20)
    await left(gate)
    async with gate.socket() as socket:
        await socket.send(resuming("c", epoch, 7))
        payloads = list[bytes]()
        while len(payloads) < 13:
            payloads += (await socket.receive()).payload
        assert payloads == received[7:]
        await town.serve(two, ChatService.INFO, "numbers")
        await town.kill(first)
        rest, last = await socket.until_close("c")
    assert last.close.status.code == 0
    assert said([*received, *rest]) == list(range(COUNT))
    assert two.began == [20]


async def test_a_client_that_comes_over_a_second_connection_takes_the_pause_with_it(town: Any) -> None:
    one, two = Counter(20), Counter()
    first = await town.serve(one, ChatService.INFO, "numbers")
    gate = await town.gate()
    async with gate.socket() as old:
        epoch, after, received = await begun(old, 20)
        await town.kill(first)
        async with gate.socket() as socket:
            await socket.send(resuming("c", epoch, after - 5))
            while (await old.receive()).WhichOneof("control") != "close":
                pass
            await town.serve(two, ChatService.INFO, "numbers")
            payloads, last = await socket.until_close("c")
    assert last.close.status.code == 0
    assert said([*received[:15], *payloads]) == list(range(COUNT))
    assert two.began == [15]
