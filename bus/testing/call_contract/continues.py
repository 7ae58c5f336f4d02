"""Answers that go on with another responder after theirs was lost."""
# ruff: noqa: D103  # the names are the sentences

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from google.protobuf.struct_pb2 import ListValue, Value

from bus import subjects
from bus.call import Call
from bus.channel import Channel
from bus.context import Context
from bus.errors import Code, RpcError
from bus.server import Server
from bus.service import Metadata, MethodInfo, Policy, Resolution, ServiceInfo, continues
from bus.stream import MAX_PIECE
from bus.testing.chain import progress_of
from bus.testing.hall import PROBE, SAY, Hall, Probe, failure, say, until, within
from bus.testing.transport_contract import Clause, Make
from bus.waiting import REPEATS
from troupe.rpc.v1 import Progress

NAME = "troupe.testing.v1.ReciterService"
RECITE = MethodInfo("Recite", "recite", NAME, ListValue, Value, False, True, Policy(continued_by="values"))
RECITER = ServiceInfo(NAME, [RECITE])
ROUTED = "troupe.testing.v1.RoutedReciterService"
RESOLVED = Policy("values", resolved_by=Resolution("a.v1.B/C", "name"), continued_by="values")
ROUTED_RECITE = MethodInfo("Recite", "recite", ROUTED, ListValue, Value, False, True, RESOLVED)
ROUTED_RECITER = ServiceInfo(ROUTED, [ROUTED_RECITE])
COUNT = 12


class Reciter:
    """Says "0", "1" and so on, as many as the first value of the request says; those that follow it were said before.

    stop: in its first call it stands still before this one; `stopped` is set then. progress: it tells Progress first.
    padding: behind each number. Remembers how much had been said before each call.
    """

    def __init__(self, stop: int = -1, *, progress: bool = False, padding: str = "") -> None:
        self.stop = stop
        self.progress = progress
        self.padding = padding
        self.stopped = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.began: list[int] = []

    @continues
    async def recite(self, request: ListValue, ctx: Context) -> AsyncIterator[Value]:
        count, *said = request.values
        assert [value.string_value for value in said] == [f"{index}{self.padding}" for index in range(len(said))]
        self.began.append(len(said))
        try:
            if self.progress:
                await ctx.progress(Progress.STATE_RUNNING, note="Thinking.")
            for index in range(len(said), int(count.number_value) + 1):
                if index == self.stop and len(self.began) == 1:
                    self.stopped.set()
                    await asyncio.get_running_loop().create_future()
                if index < count.number_value:
                    yield Value(string_value=f"{index}{self.padding}")
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise


class _Forgetful:
    """Would say everything a second time."""

    async def recite(self, request: ListValue, ctx: Context) -> AsyncIterator[Value]:
        for index in range(int(request.values[0].number_value)):
            yield Value(string_value=str(index))


class Listener:
    """A call that is read: what was said, and the notes of Progress that came in between."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.said: list[str] = []
        self.told: list[str] = []

    async def listen(self) -> "Listener":
        """To the end. Raises the call's error."""
        async for payload in self.call:
            self.take(payload)
        return self

    async def hear(self, count: int) -> None:
        """Until so many were said."""
        while len(self.said) < count:
            self.take(await anext(self.call))

    def take(self, payload: bytes) -> None:
        """A message."""
        value = Value.FromString(payload)
        progress = progress_of(value)  # type: ignore[arg-type]  # of any message
        if progress is not None:
            self.told.append(progress.note)
        else:
            self.said.append(value.string_value)


async def listener(channel: Channel, *, window: int = 64, count: int = COUNT, timeout: float | None = None) -> Listener:
    """Ask for so many numbers."""
    call = await channel.open(RECITE, window=window, timeout=timeout)
    await _ask(call, count)
    return Listener(call)


async def _ask(call: Call, count: int = COUNT) -> None:
    await call.send(ListValue(values=[Value(number_value=count)]).SerializeToString())
    call.half_close()


def numbers(count: int = COUNT, padding: str = "") -> list[str]:
    """What is said without a break."""
    return [f"{index}{padding}" for index in range(count)]


async def _kill(hall: Hall, server: Server) -> None:
    """As by SIGKILL, and told by its supervisor."""
    await hall.vanish(server)
    (await hall.transport()).publish(subjects.gone(server.process), b"")


async def an_answer_goes_on_where_its_responder_was_lost(make: Make) -> None:
    for stop in range(COUNT + 1):
        async with Hall(make) as hall:
            one, two = Reciter(stop, progress=True), Reciter()
            first = await hall.serve(one, RECITER)
            heard = await listener(await hall.channel())
            await within(one.stopped.wait())
            await within(heard.hear(stop))
            await hall.serve(two, RECITER)
            await _kill(hall, first)
            await within(heard.listen())
            assert heard.said == numbers()
            assert (one.began, two.began) == ([0], [stop])
            word = "ReciterService is being started again; the answer goes on."
            assert heard.told == ["Thinking.", word] if stop else ["Thinking."]


async def an_answer_goes_on_however_often_it_was_broken_off_and_nothing_is_said_twice(make: Make) -> None:
    async with Hall(make) as hall:
        channel = await hall.channel()
        reciter = Reciter(0)
        server = await hall.serve(reciter, RECITER)
        heard = await listener(channel)
        for stop in range(1, COUNT + 1):
            await within(reciter.stopped.wait())
            await within(heard.hear(stop - 1))
            await _kill(hall, server)
            reciter = Reciter(stop)
            server = await hall.serve(reciter, RECITER)
        await within(reciter.stopped.wait())
        await _kill(hall, server)
        await hall.serve(Reciter(), RECITER)
        await within(heard.listen())
        assert heard.said == numbers()


async def a_responder_that_is_only_taken_for_lost_is_stopped_and_may_be_the_one_that_goes_on(make: Make) -> None:
    async with Hall(make) as hall:
        one = Reciter(5)
        first = await hall.serve(one, RECITER)
        heard = await listener(await hall.channel())
        await within(one.stopped.wait())
        (await hall.transport()).publish(subjects.gone(first.process), b"")
        await within(one.cancelled.wait())
        await within(heard.listen())
        assert (heard.said, one.began) == (numbers(), [0, 5])


async def who_does_not_take_up_what_was_delivered_is_not_called(make: Make) -> None:
    async with Hall(make) as hall:
        one = Reciter(5)
        first = await hall.serve(one, RECITER)
        heard = await listener(await hall.channel())
        await within(one.stopped.wait())
        await hall.serve(_Forgetful(), RECITER)
        await _kill(hall, first)
        error = await failure(heard.listen())
        assert (error.code, error.reason) == (Code.ABORTED, "CONTINUATION_UNSUPPORTED")
        assert heard.said == numbers(5)


async def whoever_answers_next_has_no_more_credit_than_the_reader_gives(make: Make) -> None:
    for window in (1, 2, 5):
        async with Hall(make) as hall:
            channel, reciters = await hall.channel(), [Reciter(3), Reciter(6), Reciter()]
            server = await hall.serve(reciters[0], RECITER)
            heard = await listener(channel, window=window)
            for number, reciter in enumerate(reciters[:-1]):
                reading = asyncio.create_task(heard.hear(reciter.stop))
                await within(reciter.stopped.wait())
                await within(reading)
                await _kill(hall, server)
                server = await hall.serve(reciters[number + 1], RECITER)
            await within(heard.listen())
            assert heard.said == numbers()
            assert [reciter.began for reciter in reciters] == [[0], [3], [6]]


async def a_reader_that_stands_still_is_waited_for(make: Make) -> None:
    async with Hall(make) as hall:
        one, two = Reciter(3), Reciter()
        first = await hall.serve(one, RECITER)
        heard = await listener(await hall.channel(), window=3)
        await until(lambda: heard.call.protocol.incoming.received == 3)
        await _kill(hall, first)
        await hall.serve(two, RECITER)
        await until(lambda: heard.call.protocol.closed)
        assert two.began == []
        await within(heard.listen())
        assert (heard.said, two.began) == (numbers(), [3])


async def large_messages_go_on_as_well(make: Make) -> None:
    padding = "x" * (2 * MAX_PIECE)
    async with Hall(make) as hall:
        one, two = Reciter(7, padding=padding), Reciter(padding=padding)
        first = await hall.serve(one, RECITER)
        heard = await listener(await hall.channel())
        await within(heard.hear(7))
        await hall.serve(two, RECITER)
        await _kill(hall, first)
        await within(heard.listen())
        assert (heard.said, two.began) == (numbers(padding=padding), [7])


async def a_responder_that_leaves_in_order_hands_its_answers_on(make: Make) -> None:
    async with Hall(make) as hall:
        one, two = Reciter(5), Reciter()
        first = await hall.serve(one, RECITER)
        heard = await listener(await hall.channel())
        await within(one.stopped.wait())
        await hall.serve(two, RECITER)
        await within(first.drain(0.0))
        await within(heard.listen())
        assert (heard.said, two.began) == (numbers(), [5])


async def a_call_that_goes_on_ends_with_its_caller_and_with_its_deadline(make: Make) -> None:
    async with Hall(make) as hall:
        channel = await hall.channel()
        for timeout in (None, 0.5):
            one = Reciter(5)
            first = await hall.serve(one, RECITER)
            heard = await listener(channel, timeout=timeout)
            await within(heard.hear(5))
            await _kill(hall, first)
            await until(lambda call=heard.call: call.protocol.closed)  # type: ignore[misc]  # bound at once
            if timeout is None:
                heard.call.cancel()
            error = await failure(heard.listen())
            assert error.code is (Code.CANCELLED if timeout is None else Code.DEADLINE_EXCEEDED)
            assert channel.open_calls == 0


async def what_breaks_every_responder_ends_after_a_few(make: Make) -> None:
    async with Hall(make) as hall:
        breaking = _Breaking()
        await hall.serve(breaking, RECITER)
        heard = await listener(await hall.channel())
        error = await failure(heard.listen())
        assert (error.code, error.reason) == (Code.UNAVAILABLE, "ENGINE_CRASHED")
        assert heard.said == numbers(5)
        assert breaking.began == [0, *[5] * REPEATS]


class _Breaking(Reciter):
    """Breaks at the same place whoever asks."""

    @continues
    async def recite(self, request: ListValue, ctx: Context) -> AsyncIterator[Value]:
        self.began.append(len(request.values) - 1)
        for index in range(len(request.values) - 1, 5):
            yield Value(string_value=str(index))
        raise RpcError(Code.UNAVAILABLE, "It breaks here.", reason="ENGINE_CRASHED")


async def what_served_a_moment_ago_is_asked_for_again_until_it_serves(make: Make) -> None:
    async with Hall(make) as hall:
        one, two = Reciter(5), Reciter()
        first = await hall.serve(one, ROUTED_RECITER, "tiny")
        refusals = [
            RpcError(Code.UNAVAILABLE, "The family is away.", reason="FAMILY_UNAVAILABLE"),
            RpcError(Code.FAILED_PRECONDITION, "It keeps ending.", reason="MODEL_LOAD_FAILED"),
        ]
        channel = await hall.channel(_resolving(refusals, lambda: hall.serve(two, ROUTED_RECITER, "tiny")))
        call = await channel.open(ROUTED_RECITE, "tiny")
        await _ask(call)
        heard = Listener(call)
        await within(heard.hear(5))
        await _kill(hall, first)
        await within(heard.listen())
        assert (heard.said, two.began, refusals) == (numbers(), [5], [])
        assert heard.told[-1] == "Loading."


def _resolving(refusals: list[RpcError], serve: Callable[[], object]) -> Callable[..., AsyncGenerator[Progress, None]]:
    async def resolve(method: MethodInfo, route: str, metadata: Metadata) -> AsyncGenerator[Progress, None]:
        if refusals:
            raise refusals.pop(0)
        yield Progress(state=Progress.STATE_LOADING, note="Loading.")
        await serve()  # type: ignore[misc]  # it gives an awaitable

    return resolve


async def an_answer_goes_on_two_actors_deep(make: Make) -> None:
    async with Hall(make) as hall:
        relaying = _Relaying(await hall.channel())
        one, two = Reciter(5), Reciter()
        first = await hall.serve(one, RECITER)
        await hall.serve(relaying, PROBE)
        call = asyncio.create_task((await hall.channel()).unary(SAY, say("")))
        await within(one.stopped.wait())
        await hall.serve(two, RECITER)
        await _kill(hall, first)
        assert (await within(call)).value.split() == numbers()
        assert relaying.served == 1


class _Relaying(Probe):
    """Says what a reciter says."""

    async def say(self, request: object, ctx: Context) -> object:  # type: ignore[override]  # any request will do
        self.served += 1
        assert self.channel is not None
        heard = await (await listener(self.channel)).listen()
        return say(" ".join(heard.said))

    def __init__(self, channel: Channel) -> None:
        super().__init__(channel=channel)


CONTINUES: list[Clause] = [
    an_answer_goes_on_where_its_responder_was_lost,
    an_answer_goes_on_however_often_it_was_broken_off_and_nothing_is_said_twice,
    a_responder_that_is_only_taken_for_lost_is_stopped_and_may_be_the_one_that_goes_on,
    who_does_not_take_up_what_was_delivered_is_not_called,
    whoever_answers_next_has_no_more_credit_than_the_reader_gives,
    a_reader_that_stands_still_is_waited_for,
    large_messages_go_on_as_well,
    a_responder_that_leaves_in_order_hands_its_answers_on,
    a_call_that_goes_on_ends_with_its_caller_and_with_its_deadline,
    what_breaks_every_responder_ends_after_a_few,
    what_served_a_moment_ago_is_asked_for_again_until_it_serves,
    an_answer_goes_on_two_actors_deep,
]
