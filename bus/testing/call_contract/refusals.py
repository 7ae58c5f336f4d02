"""What is refused, and that it harms nothing else."""
# ruff: noqa: D103  # the names are the sentences

from google.protobuf.wrappers_pb2 import StringValue

from bus import subjects
from bus.call import Call
from bus.errors import Code, RpcError
from bus.protocol import PROTOCOL_VERSION
from bus.testing.hall import (
    GATHER,
    SAY,
    SERVICE,
    WAIT,
    Hall,
    Probe,
    failure,
    refusal,
    say,
    text,
    until,
    within,
)
from bus.testing.transport_contract import Clause, Ear, Make
from troupe.rpc.v1 import Frame, Open


async def another_version_of_the_wire_is_told_so(make: Make) -> None:
    async with Hall(make) as hall:
        await hall.serve(Probe())
        for version in (PROTOCOL_VERSION + 1, 0):
            frame = Frame(call_id="c", open=Open(protocol_version=version, method=SAY.full_name))
            assert await refusal(hall, frame) == "VERSION_MISMATCH"


async def an_open_that_breaks_the_contract_is_refused(make: Make) -> None:
    async with Hall(make) as hall:
        server = await hall.serve(Probe())
        good = Open(protocol_version=PROTOCOL_VERSION, method=SAY.full_name)

        def but(**changes: object) -> Open:
            changed = Open()
            changed.CopyFrom(good)
            changed.MergeFrom(Open(**changes))  # type: ignore[arg-type]  # named by the cases below
            return changed

        cases = [
            (Frame(call_id="c", half_close=True), "MALFORMED_FRAME"),
            (Frame(call_id="", open=good), "MALFORMED_FRAME"),
            (Frame(call_id="a.b", open=good), "MALFORMED_FRAME"),
            (Frame(call_id="a b\r\nPUB x 0\r\n", open=good), "MALFORMED_FRAME"),
            (Frame(call_id="x" * 65, open=good), "MALFORMED_FRAME"),
            (Frame(call_id="c", open=but(resume_key=b"short")), "MALFORMED_FRAME"),
            (Frame(call_id="c", open=but(preceding=2**64 - 1)), "MALFORMED_FRAME"),
            (Frame(call_id="c", open=but(metadata={"a": "x" * 9000})), "INVALID_ARGUMENT"),
            (Frame(call_id="c", open=but(metadata={"A": "x"})), "INVALID_ARGUMENT"),
            (Frame(call_id="c", open=good, payload=[b""] * 17, sequence=17), "CREDIT_EXCEEDED"),
            (Frame(call_id="c", open=good, payload=[b"x" * 70_000], sequence=1), "MESSAGE_TOO_LARGE"),
        ]
        for frame, reason in cases:
            assert await refusal(hall, frame) == reason, frame
        transport = await hall.transport()
        ear = Ear()
        await transport.subscribe("reply.hand.*", ear)
        transport.publish(subjects.call(SERVICE, "Say"), b"\xff\xff no frame", "reply.hand.c")
        answer = Frame.FromString((await ear.hears(1))[0].payload)
        assert RpcError.from_status(answer.close.status).reason == "MALFORMED_FRAME"
        assert server.active_calls == 0


async def a_payload_of_another_type_is_refused_and_the_call_ends(make: Make) -> None:
    async with Hall(make) as hall:
        server = await hall.serve(Probe())
        channel = await hall.channel()
        for method in (SAY, GATHER):
            call = await channel.open(method)
            await call.send(b"\xff\xff\xff")
            error = await failure(anext(call))
            assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "MALFORMED_FRAME")
        await within(server.idle())


async def a_unary_call_without_request_is_refused(make: Make) -> None:
    async with Hall(make) as hall:
        await hall.serve(Probe())
        call = await (await hall.channel()).open(SAY)
        call.half_close()
        assert (await failure(anext(call))).code is Code.INVALID_ARGUMENT


async def a_call_id_that_is_in_use_is_refused(make: Make) -> None:
    async with Hall(make) as hall:
        await hall.serve(Probe())
        one, two = await hall.channel(), await hall.channel()
        first = await hall.open(one, WAIT, "")
        await within(anext(first))
        second = await hall.open(two, WAIT, "")
        assert (await failure(anext(second))).reason == "CALL_EXISTS"
        assert (await failure(hall.open(one, WAIT, ""))).reason == "CALL_EXISTS"
        assert not first.closed


async def a_call_id_is_free_again_once_its_call_has_ended(make: Make) -> None:
    async with Hall(make) as hall:
        await hall.serve(Probe())
        channel = await hall.channel()
        for _ in range(2):
            call = await channel.open(SAY, call_id="c")
            await call.send(StringValue(value="again").SerializeToString())
            call.half_close()
            assert await within(_texts(call)) == ["again"]
        assert await within(_texts(await hall.open(channel, SAY, "once", call_id="with-key"))) == ["once"]
        second = await hall.open(channel, SAY, "twice", call_id="with-key")
        assert (await failure(anext(second))).reason == "CALL_EXISTS"


async def _texts(call: Call) -> list[str]:
    return [text(payload) async for payload in call]


async def a_call_id_is_not_free_while_its_stopped_call_may_run(make: Make) -> None:
    async with Hall(make) as hall:
        await hall.serve(Probe())
        channel = await hall.channel()
        call = await hall.open(channel, WAIT, "")
        await within(anext(call))
        call.cancel()
        assert (await failure(hall.open(channel, WAIT, ""))).reason == "CALL_EXISTS"


async def more_calls_than_allowed_are_refused(make: Make) -> None:
    async with Hall(make) as hall:
        server = await hall.serve(Probe(), max_calls=2)
        channel = await hall.channel()
        calls = [await hall.open(channel, WAIT, "", call_id=f"c{number}") for number in range(2)]
        for call in calls:
            await within(anext(call))
        error = await failure(channel.unary(SAY, say("")))
        assert (error.reason, error.retry_after) == ("TOO_MANY_CALLS", 1.0)
        calls[0].cancel()

        await until(lambda: server.active_calls == 1)
        await within(channel.unary(SAY, say("")))


REFUSALS: list[Clause] = [
    another_version_of_the_wire_is_told_so,
    an_open_that_breaks_the_contract_is_refused,
    a_payload_of_another_type_is_refused_and_the_call_ends,
    a_unary_call_without_request_is_refused,
    a_call_id_that_is_in_use_is_refused,
    a_call_id_is_free_again_once_its_call_has_ended,
    a_call_id_is_not_free_while_its_stopped_call_may_run,
    more_calls_than_allowed_are_refused,
]
