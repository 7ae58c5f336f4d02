"""How soon a cancelled answer frees its slot: from CANCEL at the WebSocket to the next request's first token.

One slot, taken by a long answer; a second request waits for it; the first is cancelled. Compared with how long one
engine step takes, told by the pace of the tokens.
"""

import asyncio
import time

import websockets

from hub_processes import hub_processes
from table import Table, median
from troupe.chat.v1 import GenerateRequest, GenerateResponse, Message, Part, Role, Sampling
from troupe.rpc.v1 import Cancel, Credit, Frame, Open

ROUNDS = 20
MODEL = "troupe-tiny"
CONTROL = range(10)
"""Tokens of the model that could end an answer before it is cancelled."""


def opening(call_id: str) -> Frame:
    request = GenerateRequest(
        model=MODEL,
        messages=[Message(role=Role.ROLE_USER, parts=[Part(text="What is a lease?")])],
        sampling=Sampling(temperature=2.0, top_k=0, top_p=1.0, min_p=0.0, logit_bias=dict.fromkeys(CONTROL, -100.0)),
        max_tokens=3000,
    )
    open_ = Open(protocol_version=1, method="troupe.chat.v1.ChatService/Generate", initial_credit=1024)
    return Frame(call_id=call_id, open=open_, sequence=1, payload=[request.SerializeToString()], half_close=True)


BINARY = websockets.Subprotocol("troupe.v1.binary")


class Client:
    """One connection with both calls."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket

    async def send(self, frame: Frame) -> None:
        await self._socket.send(frame.SerializeToString())

    async def token_of(self, call_id: str) -> float:
        """When the call's next token came."""
        while True:
            frame = Frame.FromString(await self._socket.recv(decode=False))
            if frame.call_id != call_id:
                continue
            assert not frame.HasField("close"), frame.close
            if any(GenerateResponse.FromString(payload).HasField("delta") for payload in frame.payload):
                await self.send(
                    Frame(call_id=call_id, credit=Credit(granted=frame.sequence + 1024, consumed=frame.sequence))
                )
                return time.perf_counter()


async def main() -> None:
    freed, steps = [], []
    async with hub_processes("llama", "models") as running:
        async with asyncio.timeout(60):
            url = f"ws://127.0.0.1:{running.http_port}/ws"
            while True:
                try:
                    async with websockets.connect(url, proxy=None, subprotocols=[BINARY]) as socket:
                        await Client(socket).send(opening("warm-up"))
                        await Client(socket).token_of("warm-up")
                        break
                except AssertionError:
                    await asyncio.sleep(0.5)
        for number in range(ROUNDS):
            async with websockets.connect(url, proxy=None, subprotocols=[BINARY], compression=None) as socket:
                client = Client(socket)
                first, second = f"first-{number}", f"second-{number}"
                await client.send(opening(first))
                marks = [await client.token_of(first) for _ in range(20)]
                steps.append((marks[-1] - marks[0]) / (len(marks) - 1))
                await client.send(opening(second))
                await asyncio.sleep(0.05)
                start = time.perf_counter()
                await client.send(Frame(call_id=first, cancel=Cancel()))
                freed.append(await client.token_of(second) - start)
                await client.send(Frame(call_id=second, cancel=Cancel()))
    table = Table(
        "cancel",
        "Cancel: from CANCEL at the WebSocket to the first token of the request that waited for the slot",
        ("median", "highest", "one engine step", "rounds"),
        notes=[
            "One slot, troupe-tiny. It holds the way of CANCEL to the engine, the rest of the running step, "
            "reading the next prompt, one step, and the way of the token back. That the slot is free within one "
            "step is tested with the engine's own step counter."
        ],
    )
    row = (f"{median(freed) * 1e3:.2f} ms", f"{max(freed) * 1e3:.2f} ms", f"{median(steps) * 1e3:.2f} ms", str(ROUNDS))
    table.rows.append(row)
    table.publish()


if __name__ == "__main__":
    asyncio.run(main())
