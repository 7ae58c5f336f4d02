"""An actor that calls an actor that calls an actor: what holds for one call holds for all, with losses and kills."""
# ruff: noqa: D103  # the names are the sentences

import asyncio
import time

from bus import subjects
from bus.call import Call
from bus.channel import Channel
from bus.errors import Code, RpcError
from bus.server import Server
from bus.testing.chain import DEPTH, Chain, Link, method, progress_of, service
from bus.testing.faults import LosingTransport, ReorderingTransport
from bus.testing.hall import Hall, Probe, drained, failure, say, says, text, until, within
from bus.testing.transport_contract import Clause, Make

MANY = 300


async def _idle(chain: Chain) -> None:
    await until(lambda: sum(server.active_calls for server in chain.servers) == 0)


async def every_shape_goes_through_all_three(make: Make) -> None:
    async with Hall(make) as hall:
        chain = Chain(hall)
        channel = await chain.start()
        words = [str(number) for number in range(MANY)]
        assert (await within(channel.unary(method("Say"), say("x")))).value == "x"
        assert await within(drained(channel.server_stream(method("Count"), say(str(MANY))))) == words
        assert (await within(channel.client_stream(method("Gather"), says(*words)))).value.split() == words
        assert await within(drained(channel.bidi_stream(method("Talk"), says(*words)))) == words
        await _idle(chain)


async def a_deadline_ends_all_three(make: Make) -> None:
    async with Hall(make) as hall:
        chain = Chain(hall)
        channel = await chain.start()
        started = time.monotonic()
        error = await failure(drained(channel.server_stream(method("Wait"), say(""), 0.4)))
        assert error.code is Code.DEADLINE_EXCEEDED
        assert time.monotonic() - started < 5.0
        await within(chain.last.cancelled.wait())
        assert all(0.0 <= (ctx.time_remaining() or 0.0) <= 0.4 for ctx in chain.contexts)
        await _idle(chain)


async def leaving_the_first_cancels_all_three(make: Make) -> None:
    async with Hall(make) as hall:
        chain = Chain(hall)
        channel = await chain.start()
        async with channel.server_stream(method("Wait"), say("")) as stream:
            assert (await within(anext(stream))).value == "waiting"
        await within(chain.last.cancelled.wait())
        await _idle(chain)
        assert channel.open_calls == sum(link.channel.open_calls for link in chain.links) == 0


async def cancelling_one_of_two_leaves_the_other_alone(make: Make) -> None:
    async with Hall(make) as hall:
        chain = Chain(hall)
        channel = await chain.start()
        one = channel.server_stream(method("Wait"), say(""))
        other = asyncio.ensure_future(channel.unary(method("Hold"), say("")))
        await within(anext(one))
        await until(lambda: chain.last.served == 2)
        await within(one.aclose())
        await within(chain.last.cancelled.wait())
        chain.last.released.set()
        assert (await within(other)).value == ""
        await _idle(chain)


async def a_caller_resumes_the_first_and_misses_nothing_of_the_third(make: Make) -> None:
    async with Hall(make) as hall:
        chain = Chain(hall)
        channel = await chain.start()
        call = await hall.open(channel, method("Count"), str(MANY), window=16)
        first = [text(await within(anext(call))) for _ in range(10)]
        call.protocol.detach()
        call.settle()
        again: Call = hall.resume(await hall.channel(), call, 10)
        rest = [text(payload) async for payload in again]
        assert first + rest == [str(number) for number in range(MANY)]
        await _idle(chain)


async def losses_and_disorder_between_all_three_lose_and_double_nothing(make: Make) -> None:
    async with Hall(make) as hall:
        chain = Chain(hall)
        for depth in range(1, DEPTH):
            inner = ReorderingTransport(await hall.transport(), seed=depth, rate=0.05)
            channel = Channel(LosingTransport(inner, seed=10 * depth, rate=0.02))
            hall.own(channel)
            chain.links.append(Link(depth, channel))
        for depth in range(1, DEPTH + 1):
            chain.servers.append(await chain.serve(depth))
        caller = await hall.channel()
        found = await _until_begun(caller)
        assert found == [str(number) for number in range(MANY)]


async def _until_begun(channel: Channel) -> list[str]:
    """An OPEN may be lost as well; then nobody has begun, which nobody can know, and the caller asks once more."""
    for _attempt in range(5):
        try:
            return await drained(channel.server_stream(method("Count"), say(str(MANY))))
        except RpcError as error:
            if error.reason != "PEER_LOST":
                raise
    raise AssertionError("it never begins")


async def _killed(hall: Hall, server: Server) -> None:
    """As after SIGKILL: not a word more, and its supervisor tells its end."""
    await hall.vanish(server)
    (await hall.transport()).publish(subjects.gone(server.process), b"")


async def a_kill_of_the_third_reaches_the_first_as_one_typed_error(make: Make) -> None:
    async with Hall(make) as hall:
        chain = Chain(hall)
        channel = await chain.start()
        call = asyncio.ensure_future(failure(channel.unary(method("Hold"), say(""))))
        await within(chain.last.started.wait())
        await _killed(hall, chain.servers[-1])
        error = await within(call)
        assert (error.code, error.reason) == (Code.UNAVAILABLE, "PEER_LOST")
        assert chain.last.served == 1


async def a_kill_of_any_of_them_repeats_what_may_be_done_twice(make: Make) -> None:
    for depth in range(1, DEPTH + 1):
        async with Hall(make) as hall:
            chain = Chain(hall)
            channel = await chain.start()
            call = asyncio.ensure_future(channel.unary(method("HoldAgain"), say("")))
            await within(chain.last.started.wait())
            await _killed(hall, chain.servers[depth - 1])
            chain.last.started.clear()
            await chain.serve(depth)
            await within(chain.last.started.wait())
            chain.last.released.set()
            await within(call)
            assert chain.last.served == 2


async def the_first_is_told_what_the_third_waits_for(make: Make) -> None:
    async with Hall(make) as hall:
        chain = Chain(hall)
        channel = await chain.start()
        await within(channel.unary(method("Say"), say("")))
        await _killed(hall, chain.servers[-1])
        stream = channel.server_stream(method("Count"), say("3"))
        told = progress_of(await within(anext(stream)))
        assert told is not None
        assert told.note == f"Link{DEPTH}Service is being started again."
        await hall.serve(Probe(), service(DEPTH))
        assert [response.value async for response in stream if not progress_of(response)] == ["0", "1", "2"]


THREE_DEEP: list[Clause] = [
    every_shape_goes_through_all_three,
    a_deadline_ends_all_three,
    leaving_the_first_cancels_all_three,
    cancelling_one_of_two_leaves_the_other_alone,
    a_caller_resumes_the_first_and_misses_nothing_of_the_third,
    losses_and_disorder_between_all_three_lose_and_double_nothing,
    a_kill_of_the_third_reaches_the_first_as_one_typed_error,
    a_kill_of_any_of_them_repeats_what_may_be_done_twice,
    the_first_is_told_what_the_third_waits_for,
]
