"""Readers of greedy answers that lose their gateway in the midst of one and go on at another: each by its call's id."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import grpc
import websockets

from bus.protocol import PROTOCOL_VERSION
from troupe.chat.v1 import ChatService, GenerateRequest, GenerateResponse, Role
from troupe.rpc.v1 import Credit, Frame, Open, Resume
from troupe_client import GrpcChannel, Hub
from troupe_client.failures import ConnectionLost, rpc_error
from troupe_client.patience import Deadline
from troupe_client.resume import Position

MODEL = "troupe-tiny"
GENERATE = ChatService.INFO.methods["Generate"]
WINDOW = 4
"""Pieces on the way to a reader of frames; what it does not take is not said, so its answer is broken off for sure."""
PLENTY = 1 << 20

Doors = dict[str, str]


@dataclass
class Answer:
    """What came of one call, over however many gateways. moved: it was broken off and went on at another one."""

    payloads: list[bytes] = field(default_factory=list)
    moved: bool = False

    @property
    def responses(self) -> list[GenerateResponse]:
        """What came, word of what happens meanwhile left out."""
        found = [GenerateResponse.FromString(payload) for payload in self.payloads]
        return [response for response in found if not response.HasField("progress")]

    @property
    def tokens(self) -> list[int]:
        """All tokens, in order."""
        return [token for response in self.responses for token in response.delta.token_ids]

    @property
    def charged(self) -> int:
        """Tokens that its usage tells; -1: it never came."""
        return next((each.usage.completion_tokens for each in self.responses if each.HasField("usage")), -1)


Read = Callable[[Doors, Doors, str, int, Callable[[], None]], Awaitable[Answer]]
"""Reads an answer: the first gateway, the second one, the question, and after how many pieces to tell of it."""


def asked(question: str) -> GenerateRequest:
    """A greedy chat."""
    request = GenerateRequest(model=MODEL)
    request.sampling.temperature = 0
    request.messages.add(role=Role.ROLE_USER).parts.add(text=question)
    return request


async def undisturbed(hub: Hub, question: str) -> list[int]:
    """The tokens of an answer whose gateway lives."""
    return [token async for response in hub.chat.generate(asked(question)) for token in response.delta.token_ids]


async def over_frames(first: Doors, second: Doors, question: str, pieces: int, tell: Callable[[], None]) -> Answer:
    """Over WebSockets. It takes so many pieces and no more, until it is at the second gateway."""
    answer, key, call_id = Answer(), secrets.token_bytes(16), secrets.token_hex(8)
    opening = Open(
        protocol_version=PROTOCOL_VERSION, method=GENERATE.full_name, resume_key=key, initial_credit=WINDOW
    )  # fmt: skip
    frame = Frame(
        call_id=call_id, open=opening, payload=[asked(question).SerializeToString()], sequence=1, half_close=True
    )
    epoch = after = 0
    try:
        async with websockets.connect(_address(first), subprotocols=[BINARY], proxy=None) as socket:
            await socket.send(frame.SerializeToString())
            while not frame.HasField("close"):
                frame = _frame(await socket.recv())
                answer.payloads += frame.payload
                epoch, after = frame.epoch, frame.sequence or after
                if len(answer.payloads) >= pieces:
                    tell()
                elif frame.payload:
                    credit = Credit(granted=after + WINDOW, consumed=after)
                    await socket.send(Frame(call_id=call_id, credit=credit).SerializeToString())
    except websockets.ConnectionClosed:
        answer.moved = True
    else:
        return answer
    async with websockets.connect(_address(second), subprotocols=[BINARY], proxy=None) as socket:
        resume = Resume(after=after, resume_key=key, granted=PLENTY)
        await socket.send(Frame(call_id=call_id, epoch=epoch, sequence=1, resume=resume).SerializeToString())
        frame = Frame()
        while not frame.HasField("close"):
            frame = _frame(await socket.recv())
            answer.payloads += frame.payload
    assert not frame.close.status.code, frame.close.status
    return answer


async def over_grpc(first: Doors, second: Doors, question: str, pieces: int, tell: Callable[[], None]) -> Answer:
    """Over gRPC, where what is on the way is the library's affair: an answer may be whole before its gateway dies."""
    answer, position = Answer(), Position()
    async with _channel(first) as channel:
        payload = asked(question).SerializeToString()
        call = channel.open_stream(GENERATE, payload, Deadline(None), None, position.opening())
        try:
            position.begun(await call.initial_metadata())
            async for payload in call:
                answer.payloads.append(payload)
                position.take(payload)
                if len(answer.payloads) >= pieces:
                    tell()
        except grpc.aio.AioRpcError as error:
            if not isinstance(rpc_error(error), ConnectionLost):
                raise
            answer.moved = True
        else:
            return answer
    async with _channel(second) as channel:
        call = channel.open_stream(GENERATE, b"", Deadline(None), None, position.resuming())
        answer.payloads += [payload async for payload in call]
    return answer


BINARY = websockets.Subprotocol("troupe.v1.binary")


class _channel:  # noqa: N801  reads as a function
    """A connection to a gRPC door."""

    def __init__(self, doors: Doors) -> None:
        self._channel = GrpcChannel(doors["grpc"])

    async def __aenter__(self) -> GrpcChannel:
        await self._channel.ready()
        return self._channel

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()


def _address(doors: Doors) -> str:
    return f"ws://{doors['http']}/ws"


def _frame(data: str | bytes) -> Frame:
    assert isinstance(data, bytes)
    return Frame.FromString(data)


async def all_told(
    readers: list[Read],
    doors: tuple[Doors, Doors],
    questions: list[str],
    pieces: list[int],
    strike: Callable[[], Awaitable[None]],
) -> list[Answer]:
    """Let all read, and strike once each has got its pieces or its answer is whole."""
    reached = [asyncio.Event() for _ in readers]
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_set_at_end(event, read(*doors, question, count, event.set)))
            for read, question, count, event in zip(readers, questions, pieces, reached, strict=True)
        ]
        for event in reached:
            await event.wait()
        await strike()
    return [task.result() for task in tasks]


async def _set_at_end(event: asyncio.Event, reading: Awaitable[Answer]) -> Answer:
    try:
        return await reading
    finally:
        event.set()
