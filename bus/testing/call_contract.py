"""What a call promises on every transport, as functions. Each takes `make`: one more process on the same new bus."""
# ruff: noqa: D103  # the names are the sentences

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from google.protobuf.wrappers_pb2 import StringValue

from bus import subjects
from bus.call import Call
from bus.channel import Channel
from bus.errors import Code, RpcError
from bus.protocol import PROTOCOL_VERSION
from bus.service import MethodInfo
from bus.stream import MAX_MESSAGE
from bus.testing.stage import (
    COUNT,
    COUNT_AGAIN,
    CRASH,
    FAIL,
    GATHER,
    KEY,
    OTHER_KEY,
    QUEUE,
    ROUTED,
    ROUTED_SERVICE,
    SAY,
    SAY_AGAIN,
    SERVICE,
    TALK,
    TELL,
    WAIT,
    Probe,
    Stage,
    text,
    within,
)
from bus.testing.transport_contract import Clause, Ear, Make
from troupe.rpc.v1 import Frame, Open, Progress


def say(value: str) -> StringValue:
    return StringValue(value=value)


async def says(*values: str) -> AsyncIterator[StringValue]:
    for value in values:
        yield say(value)


async def failure(awaitable: Awaitable[object]) -> RpcError:
    """The error that a call ends with."""
    try:
        await within(awaitable)
    except RpcError as error:
        return error
    raise AssertionError("the call succeeded")


async def drained(stream: AsyncIterator[StringValue]) -> list[str]:
    return [response.value async for response in stream]


# ---- shapes


async def a_unary_call_is_answered(make: Make) -> None:
    async with Stage(make) as stage:
        server = await stage.serve(Probe())
        channel = await stage.channel()
        assert (await within(channel.unary(SAY, say("xin chào")))).value == "xin chào"
        assert (await within(channel.unary(SAY, say("")))).value == ""
        assert server.active_calls == 0


async def a_server_stream_comes_whole_and_in_order(make: Make) -> None:
    async with Stage(make) as stage:
        await stage.serve(Probe())
        channel = await stage.channel()
        found = await within(drained(channel.server_stream(COUNT, say("1000"))))
        assert found == [str(number) for number in range(1000)]
        assert await within(drained(channel.server_stream(COUNT, say("0")))) == []


async def a_client_stream_is_heard_to_its_end(make: Make) -> None:
    async with Stage(make) as stage:
        await stage.serve(Probe())
        channel = await stage.channel()
        words = [str(number) for number in range(200)]
        assert (await within(channel.client_stream(GATHER, says(*words)))).value == " ".join(words)
        assert (await within(channel.client_stream(GATHER, says()))).value == ""


async def both_sides_stream_at_once(make: Make) -> None:
    async with Stage(make) as stage:
        await stage.serve(Probe())
        channel = await stage.channel()
        heard = asyncio.Event()

        async def one_after_the_other() -> AsyncIterator[StringValue]:
            for number in range(40):
                yield say(str(number))
                await heard.wait()
                heard.clear()

        found = []
        async with asyncio.timeout(10):
            async for response in channel.bidi_stream(TALK, one_after_the_other()):
                found.append(response.value)
                heard.set()
        assert found == [str(number) for number in range(40)]


async def calls_run_side_by_side_without_touching_each_other(make: Make) -> None:
    async with Stage(make) as stage:
        server = await stage.serve(Probe())
        channel = await stage.channel()
        streams = [drained(channel.server_stream(COUNT, say(f"100:-{number}"))) for number in range(20)]
        found = await within(asyncio.gather(*streams))
        for number, values in enumerate(found):
            assert values == [f"{index}-{number}" for index in range(100)]
        assert server.active_calls == 0


async def messages_of_the_largest_size_pass_and_larger_ones_are_refused_at_the_sender(make: Make) -> None:
    async with Stage(make) as stage:
        server = await stage.serve(Probe())
        channel = await stage.channel()
        largest = "x" * (MAX_MESSAGE - 5)
        assert (await within(channel.unary(SAY, say(largest)))).value == largest
        error = await failure(channel.unary(SAY, say("x" * MAX_MESSAGE)))
        assert (error.code, error.reason) == (Code.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")
        error = await failure(channel.client_stream(GATHER, says("a", "x" * MAX_MESSAGE)))
        assert error.reason == "MESSAGE_TOO_LARGE"
        answer = await failure(channel.unary(SAY, say("y" * (MAX_MESSAGE - 5) + "đ")))
        assert answer.reason == "MESSAGE_TOO_LARGE"
        await within(server.idle())


async def _until(true: Callable[[], bool]) -> None:
    """Look again and again: for what nobody tells."""
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110  # there is no event
            await asyncio.sleep(0.01)


# ---- flow


async def a_caller_that_does_not_read_stalls_the_sender_within_its_window(make: Make) -> None:
    async with Stage(make) as stage:
        probe = Probe()
        server = await stage.serve(probe)
        call = await stage.open(await stage.channel(), COUNT, "10000", window=10)
        assert text(await within(anext(call))) == "0"
        await _until(lambda: server.stalls > 0)
        assert probe.sent <= 11
        rest = [text(payload) async for payload in call]
        assert rest == [str(number) for number in range(1, 10000)]


async def a_handler_that_does_not_read_stalls_the_caller(make: Make) -> None:
    async with Stage(make) as stage:
        probe = Probe()
        await stage.serve(probe)
        channel = await stage.channel()
        call = await channel.open(WAIT)
        sent = 0
        try:
            async with asyncio.timeout(0.5):
                while True:
                    await call.send(b"")
                    sent += 1
        except TimeoutError:
            pass
        assert 1 <= sent <= 32
        call.cancel()


# ---- ends


async def a_deadline_ends_the_call_on_both_sides(make: Make) -> None:
    async with Stage(make) as stage:
        probe = Probe()
        server = await stage.serve(probe)
        channel = await stage.channel()
        started = time.monotonic()
        error = await failure(drained(channel.server_stream(WAIT, say(""), timeout=0.2)))
        assert error.code is Code.DEADLINE_EXCEEDED
        assert time.monotonic() - started < 5
        await within(probe.cancelled.wait())
        await within(server.idle())
        assert 0 <= (probe.contexts[0].time_remaining() or 0.0) <= 0.2


async def a_deadline_in_the_past_is_told_by_both_sides(make: Make) -> None:
    async with Stage(make) as stage:
        probe = Probe()
        await stage.serve(probe)
        channel = await stage.channel()
        for timeout in (0.0, -1.0):
            error = await failure(channel.unary(SAY, say(""), timeout=timeout))
            assert error.reason == "DEADLINE_EXCEEDED"
        opening = Open(protocol_version=PROTOCOL_VERSION, method=SAY.full_name)
        opening.timeout.FromNanoseconds(-1)
        assert await _refusal(stage, Frame(call_id="c", open=opening)) == "DEADLINE_EXCEEDED"
        assert probe.served == 0


async def leaving_a_stream_early_cancels_its_handler(make: Make) -> None:
    async with Stage(make) as stage:
        probe = Probe()
        server = await stage.serve(probe)
        channel = await stage.channel()
        stream = channel.server_stream(WAIT, say(""))
        await within(anext(stream))
        await within(stream.aclose())  # type: ignore[attr-defined]  # an async generator, as the method is one
        await within(probe.cancelled.wait())
        await within(server.idle())


async def cancelling_cascades_to_the_calls_that_a_handler_makes(make: Make) -> None:
    async with Stage(make) as stage:
        inner = Probe()
        inner_server = await stage.serve(inner)
        outer_server = await stage.serve(_Outer(await stage.channel()), OUTER_SERVICE)
        channel = await stage.channel()
        stream = channel.server_stream(OUTER_NEST, say(""))
        assert (await within(anext(stream))).value == "waiting"
        await within(stream.aclose())  # type: ignore[attr-defined]  # as above
        await within(inner.cancelled.wait())
        await _until(lambda: inner_server.active_calls + outer_server.active_calls == 0)


async def calls_of_a_handler_inherit_its_deadline(make: Make) -> None:
    async with Stage(make) as stage:
        inner = Probe()
        await stage.serve(inner)
        await stage.serve(_Outer(await stage.channel()), OUTER_SERVICE)
        channel = await stage.channel()
        error = await failure(drained(channel.server_stream(OUTER_NEST, say(""), timeout=0.3)))
        assert error.code is Code.DEADLINE_EXCEEDED
        assert (inner.contexts[0].deadline or 0.0) > 0
        await within(inner.cancelled.wait())


OUTER_NEST = MethodInfo("Nest", "nest", "troupe.testing.v1.OuterService", StringValue, StringValue, False, True)
OUTER_SERVICE = type(ROUTED_SERVICE)("troupe.testing.v1.OuterService", [OUTER_NEST])


class _Outer(Probe):
    def __init__(self, channel: Channel) -> None:
        super().__init__(channel=channel)


async def a_call_that_waits_in_a_queue_can_be_cancelled(make: Make) -> None:
    async with Stage(make) as stage:
        probe = Probe()
        server = await stage.serve(probe)
        channel = await stage.channel()
        first = await stage.open(channel, QUEUE, "", call_id="first")
        await within(anext(first))
        probe.started.clear()
        second = await stage.open(channel, QUEUE, "", call_id="second")
        await within(probe.started.wait())
        second.cancel("enough")
        await within(probe.cancelled.wait())
        assert (await failure(anext(second))).code is Code.CANCELLED
        await _until(lambda: server.active_calls == 1)
        assert not first.closed


async def an_error_arrives_with_all_its_details(make: Make) -> None:
    async with Stage(make) as stage:
        await stage.serve(Probe())
        error = await failure((await stage.channel()).unary(FAIL, say("luck")))
        assert (error.code, error.message, error.reason) == (Code.FAILED_PRECONDITION, "No luck.", "NOT_TODAY")
        assert (error.metadata, error.retry_after) == ({"wanted": "luck"}, 2.5)
        assert (error.field, error.reference) == ("value", "ref-1")


async def a_crash_of_a_handler_is_internal_and_tells_nothing_but_a_reference(make: Make) -> None:
    async with Stage(make) as stage:
        await stage.serve(Probe())
        error = await failure((await stage.channel()).unary(CRASH, say("a secret")))
        assert error.code is Code.INTERNAL
        assert "secret" not in error.message
        assert error.reference


async def trailers_and_metadata_travel(make: Make) -> None:
    async with Stage(make) as stage:
        probe = Probe()
        await stage.serve(probe)
        channel = await stage.channel()
        call = await channel.open(SAY, metadata={"color": "blue"})
        await call.send(b"")
        call.half_close()
        await within(anext(call))
        assert [payload async for payload in call] == []
        assert call.trailers == {"said": "yes"}
        assert probe.contexts[0].metadata == {"color": "blue"}
        for metadata in ({"Upper": "x"}, {"a": "é"}, {"a": "line\n"}, {"a": "x" * 9000}):
            assert (await failure(channel.unary(SAY, say(""), metadata=metadata))).code is Code.INVALID_ARGUMENT


async def progress_comes_in_band(make: Make) -> None:
    async with Stage(make) as stage:
        await stage.serve(Probe())
        call = await stage.open(await stage.channel(), TELL, "")
        first, second = [payload async for payload in call]
        assert text(first) == ""
        assert first[0] >> 3 == 15
        progress = Progress.FromString(first[2:])
        assert (progress.state, progress.position, progress.note) == (Progress.STATE_QUEUED, 2, "in line")
        assert text(second) == "done"


# ---- who serves


async def nobody_there_is_known_at_once(make: Make) -> None:
    async with Stage(make) as stage:
        started = time.monotonic()
        error = await failure((await stage.channel()).unary(SAY, say("")))
        assert (error.code, error.reason) == (Code.UNAVAILABLE, "NO_RESPONDERS")
        assert error.retry_after
        assert time.monotonic() - started < 2


async def two_servers_share_the_calls(make: Make) -> None:
    async with Stage(make) as stage:
        await stage.serve(Probe("one"))
        await stage.serve(Probe("two"))
        channel = await stage.channel()
        names = [(await within(channel.unary(SAY, say("")))).value for _ in range(40)]
        assert set(names) == {"one", "two"}


async def a_route_is_served_by_its_member_alone(make: Make) -> None:
    async with Stage(make) as stage:
        await stage.serve(Probe("small:"), ROUTED_SERVICE, "model-a")
        await stage.serve(Probe("large:"), ROUTED_SERVICE, "dir/model b.gguf")
        channel = await stage.channel()
        for _ in range(3):
            assert (await within(channel.unary(ROUTED, say("model-a")))).value == "small:model-a"
            assert (await within(channel.unary(ROUTED, say("dir/model b.gguf")))).value == "large:dir/model b.gguf"
        for route in ("model-c", "*", ">", "a.b", "x" * 100_000, "đ" * 5000):
            assert (await failure(channel.unary(ROUTED, say(route)))).reason == "NO_RESPONDERS"
        assert (await within(channel.unary(ROUTED, say("model-a")))).value == "small:model-a"


async def an_unknown_method_is_told_with_the_nearest_names(make: Make) -> None:
    async with Stage(make) as stage:
        await stage.serve(Probe())
        method = MethodInfo("Sai", "sai", SERVICE, StringValue, StringValue, False, False)
        error = await failure((await stage.channel()).unary(method, say("")))
        assert (error.code, error.reason) == (Code.UNIMPLEMENTED, "METHOD_NOT_FOUND")
        assert "Say" in error.message


async def a_resolver_has_a_route_served_and_its_progress_is_relayed_in_one_call(make: Make) -> None:
    async with Stage(make) as stage:

        async def resolve(method: MethodInfo, route: str) -> AsyncIterator[Progress]:
            yield Progress(state=Progress.STATE_LOADING, fraction=0.5)
            await stage.serve(Probe("loaded:"), ROUTED_STREAMS_SERVICE, route)

        channel = await stage.channel(resolve)
        stream = channel.server_stream(ROUTED_STREAM, say("3"))
        found = await within(drained(stream))
        assert found == ["", "0", "1", "2"]
        assert await within(drained(channel.server_stream(ROUTED_STREAM, say("3")))) == ["0", "1", "2"]


ROUTED_STREAM = MethodInfo(
    "Count", "count", "troupe.testing.v1.RoutedStreams", StringValue, StringValue, False, True, ROUTED.policy
)
ROUTED_STREAMS_SERVICE = type(ROUTED_SERVICE)("troupe.testing.v1.RoutedStreams", [ROUTED_STREAM])


async def what_a_resolver_cannot_have_served_is_its_error(make: Make) -> None:
    async with Stage(make) as stage:

        async def resolve(method: MethodInfo, route: str) -> AsyncIterator[Progress]:
            yield Progress(state=Progress.STATE_QUEUED)
            raise RpcError(Code.NOT_FOUND, f"No model {route}.", reason="MODEL_NOT_FOUND")

        channel = await stage.channel(resolve)
        assert (await failure(channel.unary(ROUTED, say("x")))).reason == "MODEL_NOT_FOUND"


async def an_idempotent_call_is_repeated_and_seen_once(make: Make) -> None:
    async with Stage(make) as stage:
        probe = Probe()
        await stage.serve(probe)
        channel = await stage.channel()
        probe.refusals = 2
        assert (await within(channel.unary(SAY_AGAIN, say("x")))).value == "x"
        assert probe.served == 3
        probe.served, probe.refusals = 0, 9
        assert (await failure(channel.unary(SAY_AGAIN, say("x")))).code is Code.UNAVAILABLE
        assert probe.served == 3


async def a_call_that_has_answered_is_not_repeated(make: Make) -> None:
    async with Stage(make) as stage:
        probe = Probe()
        await stage.serve(probe)
        channel = await stage.channel()
        assert (await failure(drained(channel.server_stream(COUNT_AGAIN, say(""))))).code is Code.UNAVAILABLE
        assert probe.served == 1


# ---- what is refused


async def _refusal(stage: Stage, frame: Frame, subject: str = "") -> str:
    """The reason with which a hand-made frame is refused."""
    transport = await stage.transport()
    ear = Ear()
    await transport.subscribe("reply.hand.*", ear)
    transport.publish(subject or subjects.call(SERVICE, "Say"), frame.SerializeToString(), "reply.hand.c")
    answer = Frame.FromString((await ear.hears(1))[0].payload)
    assert answer.HasField("close")
    return RpcError.from_status(answer.close.status).reason


async def another_version_of_the_wire_is_told_so(make: Make) -> None:
    async with Stage(make) as stage:
        await stage.serve(Probe())
        for version in (PROTOCOL_VERSION + 1, 0):
            frame = Frame(call_id="c", open=Open(protocol_version=version, method=SAY.full_name))
            assert await _refusal(stage, frame) == "VERSION_MISMATCH"


async def an_open_that_breaks_the_contract_is_refused(make: Make) -> None:
    async with Stage(make) as stage:
        server = await stage.serve(Probe())
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
            assert await _refusal(stage, frame) == reason, frame
        transport = await stage.transport()
        ear = Ear()
        await transport.subscribe("reply.hand.*", ear)
        transport.publish(subjects.call(SERVICE, "Say"), b"\xff\xff no frame", "reply.hand.c")
        answer = Frame.FromString((await ear.hears(1))[0].payload)
        assert RpcError.from_status(answer.close.status).reason == "MALFORMED_FRAME"
        assert server.active_calls == 0


async def a_payload_of_another_type_is_refused_and_the_call_ends(make: Make) -> None:
    async with Stage(make) as stage:
        server = await stage.serve(Probe())
        channel = await stage.channel()
        for method in (SAY, GATHER):
            call = await channel.open(method)
            await call.send(b"\xff\xff\xff")
            error = await failure(anext(call))
            assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "MALFORMED_FRAME")
        await within(server.idle())


async def a_unary_call_without_request_is_refused(make: Make) -> None:
    async with Stage(make) as stage:
        await stage.serve(Probe())
        call = await (await stage.channel()).open(SAY)
        call.half_close()
        assert (await failure(anext(call))).code is Code.INVALID_ARGUMENT


async def a_call_id_that_is_in_use_is_refused(make: Make) -> None:
    async with Stage(make) as stage:
        await stage.serve(Probe())
        one, two = await stage.channel(), await stage.channel()
        first = await stage.open(one, WAIT, "")
        await within(anext(first))
        second = await stage.open(two, WAIT, "")
        assert (await failure(anext(second))).reason == "CALL_EXISTS"
        assert (await failure(stage.open(one, WAIT, ""))).reason == "CALL_EXISTS"
        assert not first.closed


async def a_call_id_is_free_again_once_its_call_has_ended(make: Make) -> None:
    async with Stage(make) as stage:
        await stage.serve(Probe())
        channel = await stage.channel()
        for _ in range(2):
            call = await channel.open(SAY, call_id="c")
            await call.send(StringValue(value="again").SerializeToString())
            call.half_close()
            assert await within(_texts(call)) == ["again"]
        assert await within(_texts(await stage.open(channel, SAY, "once", call_id="with-key"))) == ["once"]
        second = await stage.open(channel, SAY, "twice", call_id="with-key")
        assert (await failure(anext(second))).reason == "CALL_EXISTS"


async def _texts(call: Call) -> list[str]:
    return [text(payload) async for payload in call]


async def a_call_id_is_not_free_while_its_stopped_call_may_run(make: Make) -> None:
    async with Stage(make) as stage:
        await stage.serve(Probe())
        channel = await stage.channel()
        call = await stage.open(channel, WAIT, "")
        await within(anext(call))
        call.cancel()
        assert (await failure(stage.open(channel, WAIT, ""))).reason == "CALL_EXISTS"


async def more_calls_than_allowed_are_refused(make: Make) -> None:
    async with Stage(make) as stage:
        server = await stage.serve(Probe(), max_calls=2)
        channel = await stage.channel()
        calls = [await stage.open(channel, WAIT, "", call_id=f"c{number}") for number in range(2)]
        for call in calls:
            await within(anext(call))
        error = await failure(channel.unary(SAY, say("")))
        assert (error.reason, error.retry_after) == ("TOO_MANY_CALLS", 1.0)
        calls[0].cancel()

        await _until(lambda: server.active_calls == 1)
        await within(channel.unary(SAY, say("")))


# ---- coming back


async def another_process_resumes_with_the_key_and_gets_the_rest(make: Make) -> None:
    async with Stage(make) as stage:
        await stage.serve(Probe())
        first = await stage.open(await stage.channel(), COUNT, "500", window=20)
        taken = [text(await within(anext(first))) for _ in range(15)]
        first.protocol.detach()
        first.settle()
        again = stage.resume(await stage.channel(), first, after=15)
        rest = [text(payload) async for payload in again]
        assert taken + rest == [str(number) for number in range(500)]


async def a_resume_takes_the_call_from_a_consumer_that_is_still_there(make: Make) -> None:
    async with Stage(make) as stage:
        await stage.serve(Probe())
        first = await stage.open(await stage.channel(), COUNT, "500", window=10)
        assert text(await within(anext(first))) == "0"
        again = stage.resume(await stage.channel(), first, after=1)
        assert [text(payload) async for payload in again] == [str(number) for number in range(1, 500)]

        async def rest() -> None:
            async for _ in first:
                pass

        assert (await failure(rest())).reason == "RESUMED_ELSEWHERE"


async def a_resume_without_the_key_is_refused_and_harms_nothing(make: Make) -> None:
    async with Stage(make) as stage:
        await stage.serve(Probe())
        channel = await stage.channel()
        first = await stage.open(channel, COUNT, "200", window=10)
        assert text(await within(anext(first))) == "0"
        for key in (OTHER_KEY, b"", KEY[:-1]):
            thief = stage.resume(await stage.channel(), first, after=1, key=key)
            assert (await failure(anext(thief))).reason == "RESUME_REFUSED"
        assert [text(payload) async for payload in first] == [str(number) for number in range(1, 200)]


async def a_resume_of_what_nobody_has_any_more_is_refused(make: Make) -> None:
    async with Stage(make) as stage:
        await stage.serve(Probe())
        first = await stage.open(await stage.channel(), COUNT, "5")
        assert len([payload async for payload in first]) == 5
        late = stage.resume(await stage.channel(), first, after=3)
        assert [text(payload) async for payload in late] == ["3", "4"]
        beyond = stage.resume(await stage.channel(), first, after=6)
        assert (await failure(anext(beyond))).reason == "RESUME_OUT_OF_RANGE"
        first.protocol.call_id = "unknown"
        unknown = stage.resume(await stage.channel(), first, after=0)
        assert (await failure(anext(unknown))).reason == "CALL_NOT_FOUND"


async def a_call_that_nobody_comes_back_for_is_cancelled_after_its_grace(make: Make) -> None:
    async with Stage(make) as stage:
        probe = Probe()
        server = await stage.serve(probe)
        call = await stage.open(await stage.channel(), WAIT, "", grace=0.3)
        await within(anext(call))
        call.protocol.detach()
        call.settle()
        assert not probe.cancelled.is_set()
        await within(probe.cancelled.wait())
        await within(server.idle())


async def a_consumer_whose_process_is_gone_counts_as_away(make: Make) -> None:
    async with Stage(make) as stage:
        probe = Probe()
        await stage.serve(probe)
        channel = await stage.channel()
        call = await stage.open(channel, WAIT, "", grace=0.3)
        await within(anext(call))
        await within(probe.started.wait())
        (await stage.transport()).publish(subjects.gone(channel.process), b"")
        await within(probe.cancelled.wait())


async def a_responder_whose_process_is_gone_is_known_at_once(make: Make) -> None:
    async with Stage(make) as stage:
        server = await stage.serve(Probe())
        other = await stage.serve(Probe("other"), ROUTED_SERVICE, "x")
        channel = await stage.channel()
        call = await stage.open(channel, WAIT, "")
        await within(anext(call))
        (await stage.transport()).publish(subjects.gone(server.process), b"")
        assert (await failure(anext(call))).reason == "PEER_LOST"
        assert other.process != server.process


async def a_server_that_drains_ends_what_runs_and_takes_nothing_new(make: Make) -> None:
    async with Stage(make) as stage:
        probe = Probe()
        server = await stage.serve(probe)
        channel = await stage.channel()
        short = await stage.open(channel, COUNT, "300", call_id="short", window=10)
        long = await stage.open(channel, WAIT, "", call_id="long")
        await within(anext(short))
        await within(anext(long))
        draining = asyncio.create_task(server.drain(0.5))
        assert len([payload async for payload in short]) == 299
        assert (await failure(channel.unary(SAY, say("")))).code is Code.UNAVAILABLE
        await within(draining)
        assert (await failure(anext(long))).reason == "SHUTTING_DOWN"
        assert server.active_calls == 0


async def a_drain_waits_until_the_last_answer_has_gone_out(make: Make) -> None:
    async with Stage(make) as stage:
        server = await stage.serve(Probe())
        channel = await stage.channel()
        largest = "x" * (MAX_MESSAGE - 5)
        calls = [asyncio.create_task(channel.unary(SAY, say(largest))) for _ in range(3)]
        await _until(lambda: server.active_calls == 3)
        await within(server.drain(10.0))
        for answer in await within(asyncio.gather(*calls)):
            assert answer.value == largest


CALL_CONTRACT: list[Clause] = [
    a_unary_call_is_answered,
    a_server_stream_comes_whole_and_in_order,
    a_client_stream_is_heard_to_its_end,
    both_sides_stream_at_once,
    calls_run_side_by_side_without_touching_each_other,
    messages_of_the_largest_size_pass_and_larger_ones_are_refused_at_the_sender,
    a_caller_that_does_not_read_stalls_the_sender_within_its_window,
    a_handler_that_does_not_read_stalls_the_caller,
    a_deadline_ends_the_call_on_both_sides,
    a_deadline_in_the_past_is_told_by_both_sides,
    leaving_a_stream_early_cancels_its_handler,
    cancelling_cascades_to_the_calls_that_a_handler_makes,
    calls_of_a_handler_inherit_its_deadline,
    a_call_that_waits_in_a_queue_can_be_cancelled,
    an_error_arrives_with_all_its_details,
    a_crash_of_a_handler_is_internal_and_tells_nothing_but_a_reference,
    trailers_and_metadata_travel,
    progress_comes_in_band,
    nobody_there_is_known_at_once,
    two_servers_share_the_calls,
    a_route_is_served_by_its_member_alone,
    an_unknown_method_is_told_with_the_nearest_names,
    a_resolver_has_a_route_served_and_its_progress_is_relayed_in_one_call,
    what_a_resolver_cannot_have_served_is_its_error,
    an_idempotent_call_is_repeated_and_seen_once,
    a_call_that_has_answered_is_not_repeated,
    another_version_of_the_wire_is_told_so,
    an_open_that_breaks_the_contract_is_refused,
    a_payload_of_another_type_is_refused_and_the_call_ends,
    a_unary_call_without_request_is_refused,
    a_call_id_that_is_in_use_is_refused,
    a_call_id_is_free_again_once_its_call_has_ended,
    a_call_id_is_not_free_while_its_stopped_call_may_run,
    more_calls_than_allowed_are_refused,
    another_process_resumes_with_the_key_and_gets_the_rest,
    a_resume_takes_the_call_from_a_consumer_that_is_still_there,
    a_resume_without_the_key_is_refused_and_harms_nothing,
    a_resume_of_what_nobody_has_any_more_is_refused,
    a_call_that_nobody_comes_back_for_is_cancelled_after_its_grace,
    a_consumer_whose_process_is_gone_counts_as_away,
    a_responder_whose_process_is_gone_is_known_at_once,
    a_server_that_drains_ends_what_runs_and_takes_nothing_new,
    a_drain_waits_until_the_last_answer_has_gone_out,
]


async def call_contract(make_bus: Callable[[], Awaitable[Make]]) -> None:
    """Hold calls over a transport to all of it, each clause on a bus of its own."""
    for clause in CALL_CONTRACT:
        await clause(await make_bus())
