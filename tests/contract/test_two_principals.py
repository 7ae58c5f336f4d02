"""Two who call: what belongs to one is nobody else's, at whatever door; and two priorities side by side."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from actors.blobs import BlobActor, BlobSettings
from actors.echo import EchoActor
from bus import Context, Priority, RpcError
from bus.protocol import PROTOCOL_VERSION
from troupe.blob.v1 import (
    BlobService,
    BlobServiceClient,
    DeleteRequest,
    DownloadRequest,
    StatRequest,
    UploadBegin,
    UploadRequest,
)
from troupe.echo.v1 import (
    EchoRequest,
    EchoResponse,
    EchoService,
    EchoServiceClient,
    RepeatRequest,
    RepeatResponse,
)
from troupe.rpc.v1 import Credit, Frame, Open, Resume
from troupe_client.failures import rpc_error
from troupe_client.patience import Deadline
from troupe_client.resume import Position

REPEAT = EchoService.INFO.methods["Repeat"]
COUNT, WINDOW = 300, 16
KEY = b"0123456789abcdef"
BOTH = ("ada", "bob")


def opening(call_id: str, **fields: Any) -> Frame:
    open_ = Open(
        protocol_version=PROTOCOL_VERSION, method=REPEAT.full_name, resume_key=KEY, initial_credit=WINDOW, **fields
    )
    payload = [RepeatRequest(count=COUNT).SerializeToString()]
    return Frame(call_id=call_id, open=open_, payload=payload, sequence=1, half_close=True)


async def begun(socket: Any, call_id: str) -> int:
    """Open a call and take what the window lets through; its epoch."""
    await socket.send(opening(call_id))
    epoch = received = 0
    while received < WINDOW:
        frame = await socket.receive()
        received, epoch = received + len(frame.payload), frame.epoch
    return epoch


async def goes_on(socket: Any, call_id: str) -> bool:
    """The call of this socket comes whole."""
    await socket.send(Frame(call_id=call_id, credit=Credit(granted=COUNT + 9, consumed=WINDOW)))
    payloads, last = await socket.until_close(call_id)
    indexes = [RepeatResponse.FromString(payload).index for payload in payloads]
    return last.close.status.code == 0 and indexes == list(range(WINDOW, COUNT))


@pytest.mark.parametrize("other", [False, True], ids=["same gateway", "another gateway"])
async def test_a_call_is_not_found_by_somebody_else_even_with_its_resume_key(town: Any, other: bool) -> None:
    await town.serve(EchoActor(), EchoService.INFO)
    one = await town.gate(keys=BOTH)
    two = await town.gate(keys=BOTH) if other else one
    async with one.socket("tr-ada") as ada, two.socket("tr-bob") as bob:
        epoch = await begun(ada, "hers")
        resume = Resume(after=0, resume_key=KEY, granted=WINDOW)
        await bob.send(Frame(call_id="hers", epoch=epoch, sequence=1, resume=resume))
        payloads, last = await bob.until_close("hers")
        assert (payloads, RpcError.from_status(last.close.status).reason) == ([], "CALL_NOT_FOUND")
        assert await goes_on(ada, "hers")


async def test_a_call_cannot_be_stopped_by_somebody_else_over_grpc(town: Any) -> None:
    await town.serve(EchoActor(), EchoService.INFO)
    gate = await town.gate(keys=BOTH)
    position = Position()
    position.key, position.call_id = KEY, "hers"
    async with gate.socket("tr-ada") as ada:
        position.epoch = str(await begun(ada, "hers"))
        bob = await town.caller(gate, "bob")
        await bob.ready()
        call = bob.open_stream(REPEAT, b"", Deadline(None), None, position.cancelling())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert rpc_error(caught.value).reason == "CALL_NOT_FOUND"
        assert await goes_on(ada, "hers")


async def test_who_takes_the_id_of_somebody_elses_call_does_not_hide_that_call(town: Any) -> None:
    hers, his = EchoActor(), EchoActor()
    await town.serve(hers, EchoService.INFO)
    one, two, three = [await town.gate(keys=BOTH) for _ in range(3)]
    async with one.socket("tr-ada") as ada:
        epoch = await begun(ada, "same")
    await town.serve(his, EchoService.INFO)
    async with two.socket("tr-bob") as bob:
        for _attempt in range(50):  # until the second holder gets it: the first one refuses an id that it has
            await bob.send(opening("same"))
            frame = await bob.receive()
            if not frame.HasField("close"):
                break
            assert RpcError.from_status(frame.close.status).reason == "CALL_EXISTS"
        async with three.socket("tr-ada") as ada:
            resume = Resume(after=WINDOW, resume_key=KEY, granted=COUNT + 9)
            await ada.send(Frame(call_id="same", epoch=epoch, sequence=1, resume=resume))
            payloads, last = await ada.until_close("same")
    assert last.close.status.code == 0
    assert [RepeatResponse.FromString(payload).index for payload in payloads] == list(range(WINDOW, COUNT))


async def test_a_blob_is_its_owners_at_both_gateways_and_nobody_elses(town: Any, tmp_path: Path) -> None:
    blobs = BlobActor(BlobSettings(min_free_bytes=0), tmp_path)
    await blobs.start()
    await town.serve(blobs, BlobService.INFO)
    one, two = await town.gate(keys=BOTH), await town.gate(keys=BOTH)
    ada = BlobServiceClient(await town.caller(one, "ada"))
    begin = UploadBegin(sha256=hashlib.sha256(KEY).hexdigest(), size=len(KEY))
    kept = (await ada.upload(_steps(begin))).blob
    again = BlobServiceClient(await town.caller(two, "ada"))
    assert (await again.stat(StatRequest(id=kept.id))).blob.size == len(KEY)
    for gate in (one, two):
        bob = BlobServiceClient(await town.caller(gate, "bob"))
        for asking in (
            bob.stat(StatRequest(id=kept.id)),
            anext(aiter(bob.download(DownloadRequest(id=kept.id)))),
            bob.delete(DeleteRequest(id=kept.id)),
        ):
            with pytest.raises(RpcError, match="BLOB_NOT_FOUND"):
                await asking
    assert b"".join([piece.data async for piece in again.download(DownloadRequest(id=kept.id))]) == KEY
    await blobs.stop()


async def _steps(begin: UploadBegin) -> AsyncIterator[UploadRequest]:
    yield UploadRequest(begin=begin)
    yield UploadRequest(data=KEY)


class Listening(EchoActor):
    """Remembers who asked, and how urgently."""

    def __init__(self) -> None:
        self.heard: dict[str, Context] = {}

    async def echo(self, request: EchoRequest, ctx: Context) -> EchoResponse:
        self.heard[request.text] = ctx
        return await super().echo(request, ctx)


async def test_two_clients_are_told_apart_and_each_lowers_its_own_priority_alone(town: Any) -> None:
    actor = Listening()
    await town.serve(actor, EchoService.INFO)
    one, two = await town.gate(keys=BOTH), await town.gate(keys=BOTH)
    ada, bob = EchoServiceClient(await town.caller(one, "ada")), EchoServiceClient(await town.caller(two, "bob"))
    await asyncio.gather(
        ada.echo(EchoRequest(text="lower"), metadata={"priority": "batch"}),
        ada.echo(EchoRequest(text="higher"), metadata={"priority": "voice"}),
        bob.echo(EchoRequest(text="none")),
        bob.echo(EchoRequest(text="lowest"), metadata={"priority": "training"}),
    )
    told = {text: (ctx.principal, ctx.priority) for text, ctx in actor.heard.items()}
    assert told == {
        "lower": ("ada", Priority.BATCH),
        "higher": ("ada", Priority.INTERACTIVE),
        "none": ("bob", Priority.INTERACTIVE),
        "lowest": ("bob", Priority.TRAINING),
    }
