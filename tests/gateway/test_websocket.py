import asyncio
import json
import random
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import websockets
from msgspec.structs import replace
from websockets.asyncio.client import ClientConnection

from actors.echo import EchoActor
from bus import Context, RpcError
from bus.stream import MAX_PIECE
from bus.transports import Message
from gateway.access import LOCAL, Pass
from gateway.codec import BinaryForm
from gateway.settings import DoorSettings
from gateway.websocket import Connection
from troupe.echo.v1 import (
    CollectRequest,
    CollectResponse,
    ConverseRequest,
    ConverseResponse,
    EchoRequest,
    EchoResponse,
    FailRequest,
    RepeatRequest,
    RepeatResponse,
)
from troupe.rpc.v1 import Cancel, Credit, Frame, Open, Ping, Resume

ECHO = "troupe.echo.v1.EchoService"
KEY = b"0123456789abcdef"


@asynccontextmanager
async def connected(url: str, *subprotocols: str) -> AsyncIterator[ClientConnection]:
    offered = [websockets.Subprotocol(name) for name in subprotocols]
    async with websockets.connect(
        url, compression=None, subprotocols=offered or None, proxy=None, max_size=None
    ) as socket:
        yield socket


def opening(call_id: str, method: str, *messages: Any, **fields: Any) -> Frame:
    half_close = fields.pop("half_close", True)
    open_ = Open(protocol_version=fields.pop("version", 1), method=f"{ECHO}/{method}", **fields)
    payload = [message.SerializeToString() for message in messages]
    return Frame(call_id=call_id, open=open_, sequence=len(payload), payload=payload, half_close=half_close)


async def send(socket: ClientConnection, frame: Frame) -> None:
    await socket.send(frame.SerializeToString())


async def receive(socket: ClientConnection) -> Frame:
    data = await socket.recv()
    assert isinstance(data, bytes)
    return Frame.FromString(data)


async def until_close(socket: ClientConnection, call_id: str) -> tuple[list[bytes], Frame]:
    payloads: list[bytes] = []
    while True:
        frame = await receive(socket)
        if frame.call_id == call_id:
            payloads += frame.payload
            if frame.HasField("close"):
                return payloads, frame


def reason_of(frame: Frame) -> str:
    return RpcError.from_status(frame.close.status).reason


async def test_a_unary_call_is_one_frame_each_way(gateway: Any) -> None:
    async with connected(gateway.websocket_url, "troupe.v1.binary") as socket:
        await send(socket, opening("call-1", "Echo", EchoRequest(text="xin chào")))
        payloads, close = await until_close(socket, "call-1")
    assert [EchoResponse.FromString(payload).text for payload in payloads] == ["xin chào"]
    assert close.close.status.code == 0


async def test_many_calls_share_a_connection(gateway: Any) -> None:
    async with connected(gateway.websocket_url, "troupe.v1.binary") as socket:
        for number in range(30):
            await send(socket, opening(f"call-{number}", "Repeat", RepeatRequest(count=number)))
        counts: dict[str, int] = {}
        open_calls = 30
        while open_calls:
            frame = await receive(socket)
            counts[frame.call_id] = counts.get(frame.call_id, 0) + len(frame.payload)
            open_calls -= frame.HasField("close")
    assert counts == {f"call-{number}": number for number in range(30)}


async def test_a_client_that_gives_no_credit_gets_its_window_and_no_more(gateway: Any) -> None:
    async with connected(gateway.websocket_url, "troupe.v1.binary") as socket:
        await send(socket, opening("slow", "Repeat", RepeatRequest(count=1000), initial_credit=10))
        received = 0
        while received < 10:
            received += len((await receive(socket)).payload)
        await send(socket, Frame(call_id="slow", ping=Ping(nonce=7)))
        frame = await receive(socket)
        while not frame.HasField("pong"):
            assert not frame.payload
            frame = await receive(socket)
        assert (received, frame.sequence, frame.pong.nonce) == (10, 10, 7)
        await send(socket, Frame(call_id="slow", credit=Credit(granted=1000, consumed=10)))
        payloads, _ = await until_close(socket, "slow")
    assert received + len(payloads) == 1000


async def test_cancel_ends_the_call_and_its_handler(gateway: Any, hall: Any) -> None:
    async with connected(gateway.websocket_url, "troupe.v1.binary") as socket:
        await send(socket, opening("stopped", "Converse", half_close=False))
        await receive(socket)
        assert hall.server.active_calls == 1
        await send(socket, Frame(call_id="stopped", cancel=Cancel(reason="enough")))
        _, close = await until_close(socket, "stopped")
        assert reason_of(close) == "CANCELLED"
        await quiet(hall)


async def quiet(hall: Any) -> None:
    while hall.server.active_calls:
        await asyncio.sleep(0)


async def test_a_lost_client_cancels_what_it_cannot_resume(gateway: Any, hall: Any) -> None:
    async with connected(gateway.websocket_url, "troupe.v1.binary") as socket:
        await send(socket, opening("lost", "Converse", half_close=False))
        await receive(socket)
    await quiet(hall)


@pytest.mark.parametrize("seed", range(10))
async def test_a_stream_survives_cuts_and_changes_of_gateway(hall: Any, seed: int) -> None:
    rng = random.Random(seed)
    total, last, epoch, indexes = 400, 0, 0, []
    async with hall.gateway() as first, hall.gateway() as second:
        begin = opening("resumed", "Repeat", RepeatRequest(count=total), resume_key=KEY, initial_credit=32)
        frames = [begin]
        done = False
        while not done:
            door = rng.choice((first, second)) if last else first
            async with connected(door.websocket_url, "troupe.v1.binary") as socket:
                await send(socket, frames.pop())
                cut_at = last + rng.randint(1, 120)
                while last < cut_at and not done:
                    frame = await receive(socket)
                    epoch = epoch or frame.epoch
                    assert not frame.HasField("close") or frame.close.status.code == 0, frame
                    indexes += [RepeatResponse.FromString(payload).index for payload in frame.payload]
                    last, done = max(last, frame.sequence), frame.HasField("close")
                    await send(socket, Frame(call_id="resumed", credit=Credit(granted=last + 32, consumed=last)))
            resume = Resume(after=last, resume_key=KEY, granted=last + 32)
            frames.append(Frame(call_id="resumed", epoch=epoch, sequence=1, resume=resume))
    assert indexes == list(range(total))


@pytest.mark.parametrize("key", [b"", b"another key of 16"])
async def test_somebody_elses_call_cannot_be_resumed(gateway: Any, key: bytes) -> None:
    async with connected(gateway.websocket_url, "troupe.v1.binary") as mine:
        await send(mine, opening("mine", "Repeat", RepeatRequest(count=1000), resume_key=KEY, initial_credit=5))
        await receive(mine)
        async with connected(gateway.websocket_url, "troupe.v1.binary") as theirs:
            await send(theirs, Frame(call_id="mine", resume=Resume(after=0, resume_key=key, granted=100)))
            _, close = await until_close(theirs, "mine")
        assert reason_of(close) == "RESUME_REFUSED"
        await send(mine, Frame(call_id="mine", credit=Credit(granted=1024, consumed=5)))
        _, close = await until_close(mine, "mine")
    assert close.close.status.code == 0


async def test_resuming_what_nobody_knows_says_so(gateway: Any) -> None:
    async with connected(gateway.websocket_url, "troupe.v1.binary") as socket:
        await send(socket, Frame(call_id="unknown", resume=Resume(after=3, resume_key=KEY)))
        _, close = await until_close(socket, "unknown")
    assert reason_of(close) == "CALL_NOT_FOUND"


async def test_large_messages_travel_in_pieces_both_ways(gateway: Any) -> None:
    text = "đ" * 300_000
    data = EchoRequest(text=text).SerializeToString()
    pieces = [data[at : at + MAX_PIECE] for at in range(0, len(data), MAX_PIECE)]
    async with connected(gateway.websocket_url, "troupe.v1.binary") as socket:
        first = opening("large", "Echo", half_close=False)
        first.payload.append(pieces[0])
        first.sequence, first.more = 1, True
        await send(socket, first)
        for number, piece in enumerate(pieces[1:], 2):
            last = number == len(pieces)
            await send(socket, Frame(call_id="large", sequence=number, payload=[piece], more=not last, half_close=last))
        payloads, close = await until_close(socket, "large")
    assert close.close.status.code == 0
    assert EchoResponse.FromString(b"".join(payloads)).text == text


async def test_client_streams_are_collected(gateway: Any) -> None:
    async with connected(gateway.websocket_url, "troupe.v1.binary") as socket:
        await send(socket, opening("many", "Collect", half_close=False))
        granted = (await receive(socket)).credit.granted
        sent = 0
        while sent < 100:
            while sent < min(granted, 100):
                sent += 1
                payload = CollectRequest(text=str(sent)).SerializeToString()
                await send(socket, Frame(call_id="many", sequence=sent, payload=[payload]))
            if sent < 100:
                granted = max(granted, (await receive(socket)).credit.granted)
        await send(socket, Frame(call_id="many", sequence=100, half_close=True))
        payloads, _ = await until_close(socket, "many")
    assert CollectResponse.FromString(payloads[0]).count == 100


async def test_sending_without_credit_ends_the_call(gateway: Any) -> None:
    async with connected(gateway.websocket_url, "troupe.v1.binary") as socket:
        await send(socket, opening("greedy", "Converse", half_close=False))
        await receive(socket)
        await send(socket, Frame(call_id="greedy", sequence=900, payload=[b""] * 900))
        _, close = await until_close(socket, "greedy")
    assert reason_of(close) == "CREDIT_EXCEEDED"


WRONG = [
    (opening("bad", "Nothing"), "METHOD_NOT_FOUND"),
    (opening("bad", "Echo", EchoRequest(text="x"), version=9), "VERSION_MISMATCH"),
    (
        Frame(call_id="bad", open=Open(protocol_version=1, method=f"{ECHO}/Echo"), payload=[b"\xff"], half_close=True),
        "MALFORMED_FRAME",
    ),
    (opening("bad", "Echo"), "INVALID_ARGUMENT"),
    (Frame(call_id="not/allowed", open=Open(protocol_version=1)), "INVALID_ARGUMENT"),
    (Frame(call_id="bad", ping=Ping()), "CALL_NOT_FOUND"),
]


@pytest.mark.parametrize(("frame", "reason"), WRONG)
async def test_a_calls_mistake_is_told_and_the_connection_lives(gateway: Any, frame: Frame, reason: str) -> None:
    async with connected(gateway.websocket_url, "troupe.v1.binary") as socket:
        await send(socket, frame)
        _, close = await until_close(socket, frame.call_id)
        assert reason_of(close) == reason
        await send(socket, opening("good", "Echo", EchoRequest(text="still here")))
        payloads, _ = await until_close(socket, "good")
    assert payloads


async def test_a_deadline_in_the_past_is_over_at_once(gateway: Any) -> None:
    frame = opening("late", "Repeat", RepeatRequest(count=5))
    frame.open.timeout.FromSeconds(-1)
    async with connected(gateway.websocket_url, "troupe.v1.binary") as socket:
        await send(socket, frame)
        _, close = await until_close(socket, "late")
    assert reason_of(close) == "DEADLINE_EXCEEDED"


async def test_an_id_in_use_is_refused_and_its_call_goes_on(gateway: Any) -> None:
    async with connected(gateway.websocket_url, "troupe.v1.binary") as socket:
        await send(socket, opening("same", "Repeat", RepeatRequest(count=20), initial_credit=5))
        await receive(socket)
        await send(socket, opening("same", "Echo", EchoRequest(text="x")))
        frame = await receive(socket)
        while not frame.HasField("close"):
            frame = await receive(socket)
        assert reason_of(frame) == "CALL_EXISTS"
        await send(socket, Frame(call_id="same", credit=Credit(granted=1000, consumed=0)))
        _, close = await until_close(socket, "same")
    assert close.close.status.code == 0


async def test_an_id_of_another_connection_is_refused_and_takes_no_place(gateway: Any) -> None:
    async with (
        connected(gateway.websocket_url, "troupe.v1.binary") as one,
        connected(gateway.websocket_url, "troupe.v1.binary") as other,
    ):
        await send(one, opening("same", "Converse", half_close=False))
        await receive(one)
        for _ in range(3):
            await send(other, opening("same", "Echo", EchoRequest(text="x")))
            assert reason_of(await receive(other)) == "CALL_EXISTS"
        assert gateway.hub.limits.call().in_use == 1
        await send(one, Frame(call_id="same", cancel=Cancel()))
        await until_close(one, "same")


async def test_an_id_may_be_used_again_after_its_call(gateway: Any) -> None:
    for _ in range(3):
        async with connected(gateway.websocket_url, "troupe.v1.binary") as socket:
            await send(socket, opening("my-first-call", "Echo", EchoRequest(text="x")))
            payloads, close = await until_close(socket, "my-first-call")
        assert (len(payloads), close.close.status.code) == (1, 0)


async def test_a_call_that_breaks_its_rules_is_closed_once(gateway: Any) -> None:
    async with connected(gateway.websocket_url, "troupe.v1.binary") as socket:
        await send(socket, opening("wrong", "Converse", half_close=False))
        await receive(socket)
        await send(socket, Frame(call_id="wrong", payload=[b""], sequence=9))
        assert reason_of(await receive(socket)) == "STREAM_GAP"
        await send(socket, opening("next", "Echo", EchoRequest(text="x")))
        assert (await receive(socket)).call_id == "next"


async def test_a_call_that_is_resumed_on_its_own_connection_is_not_closed(gateway: Any) -> None:
    async with connected(gateway.websocket_url, "troupe.v1.binary") as socket:
        await send(socket, opening("same", "Repeat", RepeatRequest(count=20), resume_key=KEY, initial_credit=5))
        first = await receive(socket)
        resume = Resume(after=first.sequence, resume_key=KEY, granted=100)
        await send(socket, Frame(call_id="same", epoch=first.epoch, resume=resume))
        payloads, close = await until_close(socket, "same")
    assert close.close.status.code == 0
    assert len(first.payload) + len(payloads) == 20


GARBAGE = [
    b"\xff\xff\xff", "no json", "[1]", '{"callId": 5}', '{"payload": 3}', "[" * 100_000, '{"%s": 1}' % ("ộ" * 200)
]  # fmt: skip


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda garbage: garbage[:20])
async def test_what_is_no_frame_ends_the_connection_with_a_word(gateway: Any, garbage: bytes | str) -> None:
    async with connected(gateway.websocket_url) as socket:
        await socket.send(garbage)
        answer = json.loads(await socket.recv())
        assert "MALFORMED_FRAME" in json.dumps(answer)
        with pytest.raises(websockets.ConnectionClosedError):
            await socket.recv()
        assert socket.close_code == 1007


async def test_a_frame_over_the_limit_ends_the_connection(gateway: Any) -> None:
    async with connected(gateway.websocket_url, "troupe.v1.binary") as socket:
        await socket.send(Frame(call_id="big", payload=[bytes(70_000)]).SerializeToString())
        frame = await receive(socket)
        assert reason_of(frame) == "MESSAGE_TOO_LARGE"
        with pytest.raises(websockets.ConnectionClosedError):
            await socket.recv()
        assert socket.close_code == 1009


async def test_the_text_form_spells_messages_out(gateway: Any) -> None:
    async with connected(gateway.websocket_url, "troupe.v1.json") as socket:
        request = {"callId": "text", "open": {"protocolVersion": 1, "method": f"{ECHO}/Repeat"}, "halfClose": True}
        await socket.send(json.dumps({**request, "payload": [{"text": "chào", "count": 3}]}))
        messages: list[dict[str, Any]] = []
        while True:
            frame = json.loads(await socket.recv())
            messages += frame.get("payload", [])
            if "close" in frame:
                break
    assert [message["text"] for message in messages] == ["chào"] * 3
    assert frame["close"] == {"status": {}}


async def test_the_text_form_takes_messages_of_any_allowed_size(gateway: Any) -> None:
    text = "x" * 200_000
    async with connected(gateway.websocket_url) as socket:
        opened = {"protocolVersion": 1, "method": f"{ECHO}/Echo"}
        await socket.send(json.dumps({"callId": "t", "open": opened, "payload": [{"text": text}], "halfClose": True}))
        frame = json.loads(await socket.recv())
        while "payload" not in frame:
            frame = json.loads(await socket.recv())
    assert frame["payload"] == [{"text": text}]


async def test_a_large_answer_in_the_text_form_needs_no_credit_for_its_pieces(gateway: Any) -> None:
    text = "x" * 1_000_000
    async with connected(gateway.websocket_url) as socket:
        opened = {"protocolVersion": 1, "method": f"{ECHO}/Echo", "initialCredit": 2}
        await socket.send(json.dumps({"callId": "t", "open": opened, "payload": [{"text": text}], "halfClose": True}))
        frame = json.loads(await socket.recv())
        while "payload" not in frame:
            frame = json.loads(await socket.recv())
    assert frame["payload"] == [{"text": text}]


async def test_a_wrong_field_in_the_text_form_is_named(gateway: Any) -> None:
    async with connected(gateway.websocket_url) as socket:
        opened = {"protocolVersion": 1, "method": f"{ECHO}/Echo"}
        await socket.send(json.dumps({"callId": "t", "open": opened, "payload": [{"txet": "x"}], "halfClose": True}))
        frame = json.loads(await socket.recv())
    assert "txet" in frame["close"]["status"]["message"]


@pytest.mark.parametrize(
    "frame",
    [opening("", "Converse", half_close=False), Frame(resume=Resume(after=1, resume_key=KEY))],
    ids=["opened", "resumed"],
)
async def test_a_connection_may_not_have_too_many_calls(gateway: Any, frame: Frame) -> None:
    limit = gateway.hub.settings.limits.max_calls_per_connection
    async with connected(gateway.websocket_url, "troupe.v1.binary") as socket:
        for number in range(limit + 1):
            frame.call_id = f"call-{number}"
            await send(socket, frame)
        _, close = await until_close(socket, f"call-{limit}")
    assert reason_of(close) == "TOO_MANY_CALLS"


async def test_a_flood_of_messages_ends_the_connection(hall: Any, door_settings: DoorSettings) -> None:
    limits = replace(door_settings.limits, messages_per_second=10, message_burst=20)
    async with (
        hall.gateway(replace(door_settings, limits=limits)) as gateway,
        connected(gateway.websocket_url, "troupe.v1.binary") as socket,
    ):
        with pytest.raises(websockets.ConnectionClosedError):
            for number in range(1000):
                await send(socket, opening(f"call-{number}", "Echo", EchoRequest(text="x")))
                await socket.recv()
        assert socket.close_code == 1008


def limited(settings: DoorSettings, **limits: Any) -> DoorSettings:
    return replace(settings, limits=replace(settings.limits, **limits))


async def test_payloads_within_credit_are_no_flood(hall: Any, door_settings: DoorSettings) -> None:
    settings = limited(door_settings, messages_per_second=1, message_burst=20)
    async with hall.gateway(settings) as gateway, connected(gateway.websocket_url, "troupe.v1.binary") as socket:
        await send(socket, opening("upload", "Collect", half_close=False))
        granted = sent = 0
        while sent < 500:
            if sent == granted:
                granted = max(granted, (await receive(socket)).credit.granted)
                continue
            sent += 1
            payload = CollectRequest(text="x").SerializeToString()
            await send(socket, Frame(call_id="upload", sequence=sent, payload=[payload], half_close=sent == 500))
        payloads, close = await until_close(socket, "upload")
    assert close.close.status.code == 0
    assert CollectResponse.FromString(payloads[0]).count == 500


async def test_a_call_that_floods_with_controls_ends_and_its_neighbour_goes_on(
    hall: Any, door_settings: DoorSettings
) -> None:
    settings = limited(door_settings, messages_per_second=1, message_burst=40)
    async with hall.gateway(settings) as gateway, connected(gateway.websocket_url, "troupe.v1.binary") as socket:
        await send(socket, opening("quiet", "Converse", half_close=False))
        await send(socket, opening("loud", "Converse", half_close=False))
        for number in range(25):
            await send(socket, Frame(call_id="loud", ping=Ping(nonce=number)))
        _, close = await until_close(socket, "loud")
        assert reason_of(close) == "RATE_LIMITED"
        payload = ConverseRequest(text="still here").SerializeToString()
        await send(socket, Frame(call_id="quiet", sequence=1, payload=[payload], half_close=True))
        payloads, close = await until_close(socket, "quiet")
    assert [ConverseResponse.FromString(one).text for one in payloads] == ["still here"]
    assert close.close.status.code == 0


async def test_calls_beyond_the_rate_are_refused_before_the_connection_is_closed(
    hall: Any, door_settings: DoorSettings
) -> None:
    settings = limited(door_settings, messages_per_second=1, message_burst=20)
    async with hall.gateway(settings) as gateway, connected(gateway.websocket_url, "troupe.v1.binary") as socket:
        await send(socket, opening("before", "Converse", half_close=False))
        reasons = []
        for number in range(25):
            await send(socket, opening(f"call-{number}", "Fail", FailRequest(code=3)))
            _, close = await until_close(socket, f"call-{number}")
            reasons.append(reason_of(close))
        assert reasons[0] == "ECHO_FAILURE"
        assert reasons[-1] == "RATE_LIMITED"
        payload = ConverseRequest(text="x").SerializeToString()
        await send(socket, Frame(call_id="before", sequence=1, payload=[payload], half_close=True))
        payloads, _ = await until_close(socket, "before")
    assert len(payloads) == 1


async def test_a_frame_over_the_limit_ends_its_call_where_that_is_known(gateway: Any) -> None:
    async with connected(gateway.websocket_url, "troupe.v1.binary") as socket:
        await send(socket, opening("big", "Converse", half_close=False))
        await receive(socket)
        await send(socket, Frame(call_id="big", sequence=1, payload=[bytes(70_000)]))
        _, close = await until_close(socket, "big")
        assert reason_of(close) == "MESSAGE_TOO_LARGE"
        await send(socket, opening("bigger", "Echo", EchoRequest(text="x" * 70_000)))
        _, close = await until_close(socket, "bigger")
        assert reason_of(close) == "MESSAGE_TOO_LARGE"
        await send(socket, opening("next", "Echo", EchoRequest(text="x")))
        payloads, _ = await until_close(socket, "next")
    assert payloads


async def test_a_first_request_that_never_becomes_whole_ends_its_call(
    gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.websocket.FIRST_REQUEST_SECONDS", 0.1)
    async with connected(gateway.websocket_url, "troupe.v1.binary") as socket:
        begin = opening("half", "Echo", half_close=False)
        begin.payload.append(b"x")
        begin.sequence, begin.more = 1, True
        await send(socket, begin)
        _, close = await until_close(socket, "half")
        assert reason_of(close) == "REQUEST_MISSING"
    assert gateway.hub.limits.call().in_use == 0


async def test_a_text_client_that_waits_for_no_credit_fills_no_memory(hall_of: Any) -> None:
    class Deaf(EchoActor):
        async def converse(
            self, requests: AsyncIterator[ConverseRequest], ctx: Context
        ) -> AsyncIterator[ConverseResponse]:
            yield ConverseResponse()
            await asyncio.get_running_loop().create_future()

    opened = {"protocolVersion": 1, "method": f"{ECHO}/Converse"}
    text = "x" * 1_000_000
    async with hall_of(Deaf()) as hall, hall.gateway() as gateway, connected(gateway.websocket_url) as socket:
        await socket.send(json.dumps({"callId": "t", "open": opened}))
        for _ in range(8):  # 4 MiB wait at most, and of the first all pieces but its last count as taken
            await socket.send(json.dumps({"callId": "t", "payload": [{"text": text}]}))
        while "close" not in (frame := json.loads(await socket.recv())):
            pass
    assert "CREDIT_EXCEEDED" in json.dumps(frame)


async def test_requests_go_on_over_another_connection(hall: Any) -> None:
    def words(*numbers: int) -> list[bytes]:
        return [CollectRequest(text=str(number)).SerializeToString() for number in numbers]

    async with hall.gateway() as first, hall.gateway() as second:
        async with connected(first.websocket_url, "troupe.v1.binary") as socket:
            await send(socket, opening("kept", "Collect", half_close=False, resume_key=KEY))
            epoch = (await receive(socket)).epoch
            await send(socket, Frame(call_id="kept", sequence=2, payload=words(1, 2)))
            await send(socket, Frame(call_id="kept", ping=Ping()))
            while not (await receive(socket)).HasField("pong"):
                pass
        async with connected(second.websocket_url, "troupe.v1.binary") as socket:
            resume = Resume(after=0, resume_key=KEY, granted=10)
            await send(socket, Frame(call_id="kept", epoch=epoch, sequence=2, resume=resume))
            await send(socket, Frame(call_id="kept", epoch=epoch, sequence=3, payload=words(3)))
            await send(socket, Frame(call_id="kept", epoch=epoch, sequence=4, payload=words(4), half_close=True))
            payloads, close = await until_close(socket, "kept")
    assert close.close.status.code == 0, close
    assert CollectResponse.FromString(payloads[0]).text == "1 2 3 4"


class RecordingSocket:
    """A client that takes what comes at once."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.said = asyncio.Event()

    async def send(self, message: dict[str, Any]) -> None:
        self.frames.append(Frame.FromString(message["bytes"]))
        self.said.set()


async def test_a_short_message_waits_for_one_frame_of_a_long_one_on_the_same_connection(gateway: Any) -> None:
    socket: Any = RecordingSocket()
    connection = Connection(socket, gateway.hub, Pass(LOCAL, "", time.time), BinaryForm())
    relays = []
    for name in ("document", "sound"):
        frame = opening(name, "Converse", half_close=False, initial_credit=1024)
        connection._take({"type": "websocket.receive", "bytes": frame.SerializeToString()})
        relay = connection._calls[name].relay
        assert relay is not None
        await relay.answered()
        relays.append(relay)
    document, sound = relays
    await asyncio.sleep(0)
    socket.frames.clear()
    for number in range(1, 66):
        deliver(document, Frame(sequence=number, payload=[bytes(MAX_PIECE)]))
    deliver(sound, Frame(sequence=1, payload=[bytes(640)]))
    while sum(bool(frame.payload) for frame in socket.frames) < 66:
        socket.said.clear()
        await socket.said.wait()
    order = [frame.call_id for frame in socket.frames if frame.payload]
    assert order.index("sound") <= 1
    long = [frame.sequence for frame in socket.frames if frame.call_id == "document" and frame.payload]
    assert long == list(range(1, 66))
    await connection._end()


async def test_sound_that_comes_while_a_document_is_written_does_not_wait_for_it(gateway: Any) -> None:
    socket: Any = RecordingSocket()
    connection = Connection(socket, gateway.hub, Pass(LOCAL, "", time.time), BinaryForm())
    calls = {}
    for name in ("document", "sound"):
        frame = opening(name, "Converse", half_close=False, initial_credit=1024)
        connection._take({"type": "websocket.receive", "bytes": frame.SerializeToString()})
        calls[name] = connection._calls[name].relay
        await calls[name].answered()  # type: ignore[union-attr]  # begun by the OPEN
    for number in range(1, 66):
        deliver(calls["document"], Frame(sequence=number, payload=[bytes(MAX_PIECE)]))
    socket.said.clear()
    await socket.said.wait()
    deliver(calls["sound"], Frame(sequence=1, payload=[bytes(640)]))
    while not any(frame.call_id == "sound" and frame.payload for frame in socket.frames):
        socket.said.clear()
        await socket.said.wait()
    assert len([frame for frame in socket.frames if frame.payload]) < 10
    await connection._end()


def deliver(relay: Any, frame: Frame) -> None:
    """A frame of the responder's, as from the bus."""
    frame.call_id, frame.epoch = relay.call_id, relay.protocol.epoch
    relay.deliver(Message("", frame.SerializeToString(), relay.peer), 0.0)


async def test_a_short_message_does_not_wait_in_the_systems_buffers_either(gateway: Any, hall: Any) -> None:
    """A client that takes little at a time: what it has not taken waits in the hub, where calls take turns."""
    port = int(gateway.websocket_url.removesuffix("/ws").rpartition(":")[2])
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        plain.connect(("127.0.0.1", port))
        binary = [websockets.Subprotocol("troupe.v1.binary")]
        async with websockets.connect(
            gateway.websocket_url, sock=plain, subprotocols=binary, compression=None, max_queue=1, close_timeout=0.1
        ) as slow:
            document = RepeatRequest(text="x" * 32_000, count=110)
            await send(slow, opening("document", "Repeat", document, initial_credit=1024))
            passed = (await receive(slow)).ByteSize()
            await hall.server.idle()
            await send(slow, opening("sound", "Echo", EchoRequest(text="x" * 640)))
            while (frame := await receive(slow)).call_id != "sound":
                passed += frame.ByteSize()
    assert passed < 512 * 1024
