"""Any interleaving of what both sides do with what a network can do."""

import random
from contextlib import suppress
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bus import errors
from bus.errors import Code, RpcError
from bus.protocol import (
    ACCEPT_SECONDS,
    GAP_SECONDS,
    MISSING_SECONDS,
    PING_SECONDS,
    AskedAgain,
    CallerProtocol,
    Cancelled,
    Closed,
    HalfClosed,
    Received,
)
from bus.responder_protocol import SILENCE_SECONDS, ResponderProtocol
from bus.stream import MAX_FRAME, REQUEST_WINDOW, RING_PIECES, Assembler
from troupe.rpc.v1 import Close, Credit, Frame, Open, Ping, Resume

KEY = b"k" * 16
EPOCH = 7


class Consumer:
    """A caller as an application has it: what came, what it took, how it ended."""

    def __init__(self, protocol: CallerProtocol, messages: list[bytes], assembler: Assembler) -> None:
        self.protocol = protocol
        self.messages = messages
        self.assembler = assembler
        self.taken = protocol.consumed
        self.newest = protocol.consumed
        self.ends: list[Closed] = []
        self.asked_again = False

    def settle(self) -> None:
        events, self.protocol.events = self.protocol.events, []
        for event in events:
            assert not self.ends, f"{event} came after the end"
            if isinstance(event, Received):
                self.newest = event.pieces.last
                self.messages += [message for message, _ in self.assembler.feed(event.pieces)]
            elif isinstance(event, Closed):
                self.ends.append(event)
            elif isinstance(event, AskedAgain):
                self.asked_again = True

    def take_all(self) -> None:
        self.taken = self.newest
        self.protocol.consume(self.newest)


class World:
    """Both ends of one call, and everything that is under way between them. A frame in `up` knows who sent it."""

    def __init__(self, credit: int = 8, *, preceding: int = 0, grace: float = 5.0) -> None:
        self.now = 100.0
        self.opening = Open(protocol_version=1, initial_credit=credit, resume_key=KEY, preceding=preceding)
        self.opening.grace.FromNanoseconds(int(grace * 1e9))
        self.answers: list[bytes] = []
        self.assembler = Assembler()
        self.consumers = [Consumer(CallerProtocol("c", self.opening, self.now), self.answers, self.assembler)]
        self.responder: ResponderProtocol | None = None
        self.serves = 0
        self.up: list[tuple[int, bytes]] = []
        self.down: list[tuple[int, bytes]] = []
        self.cut = False
        self.requests: list[bytes] = []
        self.request_assembler = Assembler()
        self.requests_taken = 0
        self.requests_newest = 0
        self.sent_requests: list[bytes] = []
        self.sent_answers: list[bytes] = []
        self.half_closed_with: int | None = None
        self.half_closes = 0
        self.handler_cancelled = 0

    @property
    def consumer(self) -> Consumer:
        return self.consumers[-1]

    @property
    def caller(self) -> CallerProtocol:
        return self.consumer.protocol

    def pump(self) -> None:
        """Write what both sides have to say onto the network."""
        for index, consumer in enumerate(self.consumers):
            consumer.settle()
            for frame in consumer.protocol.frames():
                self._put(self.up, index, frame)
        if self.responder is not None:
            self._settle_responder()
            for frame in self.responder.frames():
                self._put(self.down, self.serves, frame)

    def _put(self, line: list[tuple[int, bytes]], index: int, frame: Frame) -> None:
        data = frame.SerializeToString()
        assert len(data) <= MAX_FRAME
        if not self.cut:
            line.append((index, data))

    def _settle_responder(self) -> None:
        assert self.responder is not None
        events, self.responder.events = self.responder.events, []
        for event in events:
            if isinstance(event, Received):
                assert not self.half_closes, "payloads after the half-close"
                self.requests_newest = event.pieces.last
                self.requests += [message for message, _ in self.request_assembler.feed(event.pieces)]
            elif isinstance(event, HalfClosed):
                self.half_closes += 1
            elif isinstance(event, Cancelled):
                self.handler_cancelled += 1

    def deliver_up(self, index: int = 0, *, keep: bool = False) -> None:
        sender, data = self.up[index] if keep else self.up.pop(index)
        frame = Frame.FromString(data)
        if frame.HasField("open"):
            if self.responder is None:
                self.responder = ResponderProtocol(frame, EPOCH, "", self.now)
                self.serves = sender
        elif self.responder is not None:
            self._controlled(sender, frame)

    def _controlled(self, sender: int, frame: Frame) -> None:
        assert self.responder is not None
        if frame.HasField("resume"):
            assert self.responder.may_resume(frame.resume)
        elif sender != self.serves:
            return
        try:
            self.responder.receive(frame, self.now)
        except RpcError as error:
            letter = Frame(call_id="c", epoch=EPOCH, close=Close(status=error.to_status()))
            self._put(self.down, sender, letter)
        else:
            self.serves = sender
        self._settle_responder()

    def deliver_down(self, index: int = 0, *, keep: bool = False) -> None:
        receiver, data = self.down[index] if keep else self.down.pop(index)
        self.consumers[receiver].protocol.receive(Frame.FromString(data), self.now)
        self.consumers[receiver].settle()

    def deliver_everything(self) -> None:
        self.pump()
        while self.up or self.down:
            while self.up:
                self.deliver_up()
            while self.down:
                self.deliver_down()
            self.pump()

    def tick(self, seconds: float) -> None:
        self.now += seconds
        for consumer in self.consumers:
            consumer.protocol.tick(self.now)
            consumer.settle()
        if self.responder is not None:
            self.responder.tick(self.now)
            self._settle_responder()

    def take_everything(self) -> None:
        self.consumer.take_all()
        if self.responder is not None:
            self.responder.consume(self.requests_newest)

    def send_request(self, message: bytes) -> None:
        self.caller.outgoing.push(message)
        self.sent_requests.append(message)

    def send_answer(self, message: bytes) -> None:
        assert self.responder is not None
        self.responder.outgoing.push(message)
        self.sent_answers.append(message)

    def calm(self, seconds: float = 60.0) -> None:
        """From now on nothing is lost and everyone does its work."""
        self.cut = False
        ends = self.now + seconds
        while self.now < ends and not self.consumer.ends:
            self.deliver_everything()
            self.take_everything()
            self._serve()
            self.tick(0.2)
        self.deliver_everything()

    def _serve(self) -> None:
        """The handler ends once it has all requests."""
        if self.responder is not None and not self.responder.finished and self.half_closes:
            self.responder.finish(None)


PIECE = st.sampled_from([0, 1, 20, 3000, 20_000, 60_000, 110_000])


def message(number: int, size: int) -> bytes:
    return b"%d:" % number + b"x" * size


class CallMachine(RuleBasedStateMachine):
    """One call and a network that does its worst."""

    @initialize(credit=st.integers(1, 40), preceding=st.integers(0, 3), first=st.integers(0, 3), size=PIECE)
    def begin(self, credit: int, preceding: int, first: int, size: int) -> None:
        self.world = World(credit, preceding=preceding)
        for number in range(first):
            self.world.send_request(message(number, size))

    # ---- the caller

    @precondition(lambda self: self.world.caller.outgoing.ready and self.world.half_closed_with is None)
    @rule(size=PIECE)
    def caller_sends(self, size: int) -> None:
        if not self.world.caller.closed:
            self.world.send_request(message(len(self.world.sent_requests), size))

    @rule()
    def caller_half_closes(self) -> None:
        if len(self.world.consumers) == 1 and self.world.half_closed_with is None:
            self.world.half_closed_with = len(self.world.sent_requests)
            self.world.caller.half_close()

    @rule()
    def caller_takes(self) -> None:
        self.world.consumer.take_all()

    @precondition(lambda self: self.world.now > 130)
    @rule()
    def caller_cancels(self) -> None:
        self.world.caller.cancel("enough")
        self.world.consumer.settle()

    @precondition(lambda self: self.world.caller.accepted and not self.world.caller.closed)
    @rule()
    def caller_reconnects(self) -> None:
        self.world.caller.reconnected(self.world.now)

    @precondition(
        lambda self: self.world.caller.accepted and not self.world.caller.closed and self.world.half_closed_with == 0
    )
    @rule(leaves=st.booleans())
    def another_consumer_resumes(self, leaves: bool) -> None:
        old = self.world.consumer
        if leaves:
            old.protocol.detach()
        else:
            old.protocol.hand_over()
        old.settle()
        resume = Resume(after=old.newest, resume_key=KEY, granted=old.newest + 5)
        protocol = CallerProtocol.resuming("c", resume, EPOCH, 0, self.world.now)
        self.world.consumers.append(Consumer(protocol, self.world.answers, self.world.assembler))
        protocol.half_close()

    # ---- the responder

    @precondition(lambda self: self.world.responder is not None)
    @rule(size=PIECE, count=st.integers(1, 6))
    def responder_sends(self, size: int, count: int) -> None:
        responder = self.world.responder
        assert responder is not None
        for _ in range(count):
            if responder.outgoing.ready and not responder.finished:
                self.world.send_answer(message(len(self.world.sent_answers), size))

    @precondition(lambda self: self.world.responder is not None)
    @rule()
    def responder_takes(self) -> None:
        assert self.world.responder is not None
        self.world.responder.consume(self.world.requests_newest)

    @precondition(lambda self: self.world.half_closes > 0 or self.world.now > 115)
    @rule(fails=st.booleans())
    def responder_finishes(self, fails: bool) -> None:
        if self.world.responder is not None:
            error = RpcError(Code.NOT_FOUND, "no such thing", reason="X") if fails else None
            self.world.responder.finish(error, {"t": "1"})

    # ---- the network

    @rule()
    def everyone_writes(self) -> None:
        self.world.pump()

    @precondition(lambda self: self.world.up)
    @rule(at=st.integers(0, 5), keep=st.booleans())
    def something_goes_up(self, at: int, keep: bool) -> None:
        self.world.deliver_up(at % len(self.world.up), keep=keep)

    @precondition(lambda self: self.world.down)
    @rule(at=st.integers(0, 5), keep=st.booleans())
    def something_goes_down(self, at: int, keep: bool) -> None:
        self.world.deliver_down(at % len(self.world.down), keep=keep)

    @precondition(lambda self: self.world.up)
    @rule(at=st.integers(0, 5))
    def something_is_lost_up(self, at: int) -> None:
        self.world.up.pop(at % len(self.world.up))

    @precondition(lambda self: self.world.down)
    @rule(at=st.integers(0, 5))
    def something_is_lost_down(self, at: int) -> None:
        self.world.down.pop(at % len(self.world.down))

    @rule()
    def everything_arrives(self) -> None:
        self.world.deliver_everything()

    @rule(cut=st.booleans())
    def the_line_is_cut_or_mended(self, cut: bool) -> None:
        self.world.cut = cut
        if cut:
            self.world.up.clear()
            self.world.down.clear()

    @precondition(lambda self: not self.world.caller.closed and self.world.caller.accepted)
    @rule()
    def the_bus_misses_the_responder(self) -> None:
        self.world.caller.no_responders(self.world.now)

    @precondition(lambda self: self.world.responder is not None)
    @rule()
    def the_bus_misses_the_caller(self) -> None:
        assert self.world.responder is not None
        self.world.responder.detach(self.world.now)

    @rule(seconds=st.sampled_from([0.1, 0.3, 1.0, 4.0, 6.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.tick(seconds)

    # ---- what always holds

    @invariant()
    def answers_come_once_and_in_order(self) -> None:
        world = self.world
        assert world.answers == world.sent_answers[: len(world.answers)]

    @invariant()
    def requests_come_once_and_in_order(self) -> None:
        world = self.world
        assert world.requests == world.sent_requests[: len(world.requests)]
        if world.half_closes:
            assert world.half_closes == 1
            assert len(world.requests) == world.half_closed_with

    @invariant()
    def nobody_sends_more_than_allowed(self) -> None:
        world = self.world
        if world.responder is not None:
            assert world.responder.outgoing.sent <= max(
                consumer.protocol.incoming.granted for consumer in world.consumers
            )
            assert world.caller.outgoing.sent <= world.responder.incoming.granted

    @invariant()
    def nobody_remembers_without_bound(self) -> None:
        world = self.world
        for protocol in (world.caller, world.responder):
            if protocol is not None:
                assert len(protocol.outgoing._ring) <= RING_PIECES + 86

    @invariant()
    def a_good_end_means_that_everything_came(self) -> None:
        for consumer in self.world.consumers:
            assert len(consumer.ends) <= 1
            if consumer.ends and consumer.ends[0].error is None:
                assert self.world.answers == self.world.sent_answers

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        if world.half_closed_with is None and not world.caller.closed:
            world.half_closed_with = len(world.sent_requests)
            world.caller.half_close()
        world.calm()
        note(f"ended with {world.consumer.ends}")
        assert len(world.consumer.ends) == 1, "the call never ended"
        self.a_good_end_means_that_everything_came()
        self.answers_come_once_and_in_order()
        self.requests_come_once_and_in_order()


TestAnyInterleaving = CallMachine.TestCase


# ---- single rules


def served(credit: int = 8, *, grace: float = 5.0) -> World:
    """A call that was accepted, with nothing under way."""
    world = World(credit, grace=grace)
    world.deliver_everything()
    assert world.caller.accepted
    return world


def let_pass(world: World, seconds: float, *, delivering: bool = True) -> None:
    ends = world.now + seconds
    while world.now < ends:
        world.tick(0.2)
        if delivering:
            world.deliver_everything()
        else:
            world.pump()


def end_of(world: World) -> RpcError | None:
    assert len(world.consumer.ends) == 1
    return world.consumer.ends[0].error


def reason_of(world: World) -> str:
    error = end_of(world)
    assert error is not None
    return error.reason


def test_a_unary_call_takes_one_frame_there_and_one_back_beside_the_acceptance() -> None:
    world = World()
    world.send_request(b"question")
    world.caller.half_close()
    world.pump()
    assert len(world.up) == 1
    world.deliver_up()
    world.send_answer(b"answer")
    assert world.responder is not None
    world.responder.finish(None, {"t": "1"})
    world.pump()
    assert len(world.down) == 1
    world.deliver_down()
    assert world.answers == [b"answer"]
    assert world.consumer.ends == [Closed(None, {"t": "1"})]


def test_a_half_close_is_never_said_before_the_last_payload() -> None:
    world = served()
    for number in range(12):
        world.send_request(message(number, 30_000))
    world.caller.half_close()
    world.pump()
    assert len(world.up) > 3
    world.deliver_up()
    assert world.half_closes == 0
    world.deliver_everything()
    assert world.half_closes == 1
    assert world.requests == world.sent_requests


def test_a_slow_stream_is_not_taken_for_dead_by_a_responder_that_hears_nothing() -> None:
    world = served(64)
    for number in range(30):
        world.send_answer(message(number, 10))
        let_pass(world, 3.0)
    assert world.handler_cancelled == 0
    assert world.responder is not None
    world.responder.finish(None)
    world.deliver_everything()
    assert end_of(world) is None
    assert len(world.answers) == 30


def test_one_lost_ping_ends_nothing() -> None:
    world = served()
    let_pass(world, PING_SECONDS + 0.3, delivering=False)
    assert world.up
    world.up.clear()
    world.down.clear()
    let_pass(world, 20.0)
    assert not world.consumer.ends


def test_a_lost_acceptance_is_said_again() -> None:
    world = World()
    world.pump()
    world.deliver_up()
    world.pump()
    world.down.clear()
    let_pass(world, 2.0)
    assert world.caller.accepted


def test_a_call_that_nobody_accepts_ends() -> None:
    world = World()
    world.pump()
    world.up.clear()
    let_pass(world, ACCEPT_SECONDS + 1.0)
    assert reason_of(world) == "PEER_LOST"


def test_a_responder_that_answers_a_given_up_call_is_told_to_stop() -> None:
    world = World()
    world.pump()
    open_, world.up = world.up, []
    let_pass(world, ACCEPT_SECONDS + 1.0)
    world.up = open_
    world.deliver_everything()
    assert world.handler_cancelled == 1


def test_a_call_that_is_cancelled_before_its_open_has_left_is_never_opened() -> None:
    world = World()
    world.caller.cancel("at once")
    world.pump()
    assert not world.up
    assert not world.caller.talks
    assert reason_of(world) == "CANCELLED"


def test_a_lost_cancel_is_repeated_when_the_responder_talks_on() -> None:
    world = served()
    world.caller.cancel("enough")
    world.pump()
    world.up.clear()
    world.send_answer(b"more")
    world.deliver_everything()
    assert world.handler_cancelled == 1


def test_last_words_are_forgotten_once_the_responder_has_heard_them() -> None:
    world = served()
    world.caller.cancel("enough")
    world.pump()
    assert world.caller.has_last_words
    world.deliver_everything()
    assert not world.caller.has_last_words


def test_a_lost_close_comes_again_after_a_ping() -> None:
    world = served()
    world.send_answer(b"last")
    assert world.responder is not None
    world.responder.finish(None)
    world.pump()
    world.down.clear()
    let_pass(world, PING_SECONDS + 1.0)
    assert end_of(world) is None
    assert world.answers == [b"last"]


def test_a_lost_half_close_is_repaired_while_the_responder_talks() -> None:
    world = served(64)
    world.caller.half_close()
    world.pump()
    world.up.clear()
    for number in range(7):
        world.send_answer(message(number, 1))
        let_pass(world, 1.0)
    assert world.half_closes == 1


def test_a_lost_credit_is_repaired_in_both_directions() -> None:
    world = served(2)
    world.send_answer(b"1")
    world.send_answer(b"2")
    for number in range(REQUEST_WINDOW):
        world.send_request(message(number, 1))
    world.deliver_everything()
    world.take_everything()
    world.pump()
    world.up.clear()
    world.down.clear()
    assert world.responder is not None
    both = (world.responder.outgoing, world.caller.outgoing)
    assert [outgoing.ready for outgoing in both] == [False, False]
    let_pass(world, PING_SECONDS + 1.0)
    assert [outgoing.ready for outgoing in both] == [True, True]


def test_a_peer_that_is_silent_is_lost_after_twice_the_ping_time() -> None:
    world = served()
    world.cut = True
    let_pass(world, 2 * PING_SECONDS + 1.5)
    assert reason_of(world) == "PEER_LOST"


def test_a_peer_that_left_the_bus_is_lost_after_the_missing_time() -> None:
    world = served()
    world.caller.no_responders(world.now)
    world.cut = True
    let_pass(world, MISSING_SECONDS + 0.5)
    assert reason_of(world) == "PEER_LOST"


def test_a_peer_that_comes_back_to_the_bus_is_not_lost() -> None:
    world = served()
    world.caller.no_responders(world.now)
    world.send_answer(b"x")
    let_pass(world, MISSING_SECONDS + 1.0)
    assert not world.consumer.ends


def test_a_process_that_is_gone_ends_its_calls_at_once() -> None:
    world = served()
    world.caller.peer_gone("llama-1")
    world.consumer.settle()
    assert reason_of(world) == "PEER_LOST"


def test_nobody_there_is_known_at_once() -> None:
    world = World()
    world.pump()
    world.caller.no_responders(world.now)
    world.consumer.settle()
    assert reason_of(world) == "NO_RESPONDERS"


def test_a_gap_that_stays_open_ends_the_call_with_a_code_and_never_short() -> None:
    world = served(64)
    world.send_answer(b"1")
    world.pump()
    world.down.clear()
    world.send_answer(b"2")
    world.pump()
    world.deliver_down()
    ends = world.now + GAP_SECONDS + 2
    while world.now < ends:
        world.up.clear()
        world.tick(0.2)
        world.pump()
        world.caller.receive(Frame(call_id="c", epoch=EPOCH, sequence=2), world.now)
    world.consumer.settle()
    assert reason_of(world) == "STREAM_GAP"
    assert world.answers == []


def test_a_responder_that_hears_nothing_for_long_cancels_after_the_grace_period() -> None:
    world = served(grace=5.0)
    world.caller.hand_over()
    let_pass(world, SILENCE_SECONDS + 4.0)
    assert world.handler_cancelled == 0
    let_pass(world, 2.0)
    assert world.handler_cancelled == 1


def test_a_word_of_the_caller_is_enough_after_it_was_merely_missed() -> None:
    world = served(grace=2 * PING_SECONDS)
    assert world.responder is not None
    world.responder.detach(world.now)
    world.send_answer(b"x")
    world.deliver_everything()
    assert world.answers == []
    let_pass(world, PING_SECONDS + 1.0)
    assert world.answers == [b"x"]


def test_a_late_frame_of_a_caller_that_left_does_not_bring_it_back() -> None:
    world = served()
    assert world.responder is not None
    world.caller.detach()
    world.deliver_everything()
    world.responder.receive(Frame(call_id="c", epoch=EPOCH, credit=Credit(granted=20, consumed=0)), world.now)
    world.send_answer(b"x")
    assert world.responder.frames() == []
    world.responder.receive(Frame(call_id="c", epoch=EPOCH, resume=Resume(after=0, resume_key=KEY)), world.now)
    assert [bytes(frame.payload[0]) for frame in world.responder.frames() if frame.payload] == [b"x"]


def test_pings_to_a_call_without_consumer_take_no_memory() -> None:
    world = served()
    assert world.responder is not None
    world.caller.detach()
    world.deliver_everything()
    for nonce in range(100):
        world.responder.receive(Frame(call_id="c", epoch=EPOCH, ping=Ping(nonce=nonce)), world.now)
        assert world.responder.frames() == []
    assert world.responder._controls == []


def test_a_frame_of_another_run_is_no_part_of_the_call() -> None:
    world = served()
    world.caller.receive(Frame(call_id="c", epoch=EPOCH + 1, sequence=1, payload=[b"alien"]), world.now)
    world.consumer.settle()
    assert world.answers == []
    assert world.responder is not None
    cancel = Frame(call_id="c", epoch=EPOCH + 1)
    cancel.cancel.SetInParent()
    world.responder.receive(cancel, world.now)
    assert not world.responder.finished


def test_a_resume_needs_the_key_and_the_principal() -> None:
    world = World()
    frame = Frame(call_id="c", open=Open(resume_key=KEY))
    responder = ResponderProtocol(frame, EPOCH, "ada", world.now)
    assert responder.may_resume(Resume(resume_key=KEY, principal="ada"))
    assert responder.may_resume(Resume(resume_key=KEY))
    assert not responder.may_resume(Resume(resume_key=KEY, principal="eve"))
    assert not responder.may_resume(Resume(resume_key=b"x" * 16, principal="ada"))
    assert not responder.may_resume(Resume(principal="ada"))
    assert not ResponderProtocol(Frame(open=Open()), EPOCH, "", 0.0).may_resume(Resume())


def test_a_resume_beyond_what_was_sent_is_refused_and_changes_nothing() -> None:
    world = served()
    assert world.responder is not None
    with pytest.raises(RpcError) as caught:
        world.responder.receive(Frame(epoch=EPOCH, resume=Resume(after=1, resume_key=KEY)), world.now)
    assert caught.value.reason == "RESUME_OUT_OF_RANGE"
    world.send_answer(b"x")
    world.deliver_everything()
    assert world.answers == [b"x"]


@pytest.mark.parametrize("number", [2**62, 2**64 - 1])
def test_numbers_that_no_call_reaches_are_refused(number: int) -> None:
    for resume, sent in ((Resume(after=number), 0), (Resume(granted=number), 0), (Resume(), number)):
        with pytest.raises(RpcError) as caught:
            CallerProtocol.resuming("c", resume, EPOCH, sent, 0.0)
        assert caught.value.reason == "RESUME_OUT_OF_RANGE"


def test_a_huge_grant_of_a_consumer_can_still_be_passed_on() -> None:
    world = served()
    world.caller.grant(2**64 - 1, 2**64 - 1)
    assert [frame.HasField("credit") for frame in world.caller.frames()] == [True]


def test_a_cancelled_or_expired_call_forgets_what_was_not_sent() -> None:
    world = served(2)
    for size in (10, 110_000):
        world.send_answer(message(1, size))
    assert world.responder is not None
    world.responder.finish(errors.deadline_exceeded())
    world.deliver_everything()
    assert reason_of(world) == "DEADLINE_EXCEEDED"


def test_a_close_after_a_repeated_resume_still_says_why_the_call_ended() -> None:
    world = served(8)
    for number in range(3):
        world.send_answer(message(number, 1))
    world.deliver_everything()
    assert world.responder is not None
    world.responder.receive(Frame(epoch=EPOCH, resume=Resume(after=0, resume_key=KEY)), world.now)
    world.responder.finish(errors.cancelled())
    world.responder.receive(Frame(epoch=EPOCH, resume=Resume(after=3, resume_key=KEY)), world.now)
    world.deliver_everything()
    assert reason_of(world) == "CANCELLED"


def test_a_sender_that_ignores_credit_is_stopped() -> None:
    world = served(2)
    frame = Frame(call_id="c", epoch=EPOCH, sequence=3, payload=[b"1", b"2", b"3"])
    world.caller.receive(frame, world.now)
    world.consumer.settle()
    assert reason_of(world) == "CREDIT_EXCEEDED"
    world.deliver_everything()
    assert world.handler_cancelled == 1


def test_wide_windows_return_credit_before_the_sender_s_ring_is_full() -> None:
    world = served(1024)
    sent = 0
    while sent < 400:
        assert world.responder is not None
        assert world.responder.outgoing.ready, f"stalled after {sent} messages"
        world.send_answer(message(sent, 40_000))
        sent += 1
        world.deliver_everything()
        world.take_everything()
        world.deliver_everything()


@pytest.mark.parametrize(
    ("error", "trailers"),
    [
        (RpcError(Code.INTERNAL, "x" * 200_000, reason="R" * 90_000, metadata={"m": "y" * 90_000}), {}),
        (RpcError(Code.NOT_FOUND, "đ" * 200_000, field="f" * 90_000), {"t": "z" * 90_000}),
        (None, {"t": "z" * 90_000}),
    ],
)
def test_a_close_fits_into_a_frame_whatever_the_handler_puts_into_it(
    error: RpcError | None, trailers: dict[str, str]
) -> None:
    world = served()
    world.send_answer(b"x" * 48_000)
    assert world.responder is not None
    world.responder.finish(error, trailers)
    world.deliver_everything()
    assert world.consumer.ends[0].error is not None
    assert world.consumer.ends[0].error.code is (error.code if error else Code.INTERNAL)


# ---- long runs


def storm(seed: int) -> tuple[World, random.Random]:
    """A bidi call with 60 messages each way over a network that loses, delays, doubles and reorders a fifth of all."""
    luck = random.Random(seed)
    world = World(luck.choice([1, 3, 16, 64]))
    sizes = [0, 5, 700, 30_000, 100_000]
    for _ in range(3000):
        if len(world.sent_requests) < 60 and world.caller.outgoing.ready and not world.caller.closed:
            world.send_request(message(len(world.sent_requests), luck.choice(sizes)))
        elif len(world.sent_requests) == 60:
            world.caller.half_close()
            world.half_closed_with = 60
        responder = world.responder
        if responder is not None and not responder.finished:
            if len(world.sent_answers) < 60 and responder.outgoing.ready:
                world.send_answer(message(len(world.sent_answers), luck.choice(sizes)))
            elif len(world.sent_answers) == 60 and world.half_closes:
                responder.finish(None)
        if luck.random() < 0.5:
            world.take_everything()
        _shake(world, luck)
        if world.consumer.ends:
            break
    return world, luck


def _shake(world: World, luck: random.Random) -> None:
    world.pump()
    for line, deliver in ((world.up, world.deliver_up), (world.down, world.deliver_down)):
        while line and luck.random() < 0.8:
            at = 0 if luck.random() < 0.8 else luck.randrange(len(line))
            fate = luck.random()
            if fate < 0.1:
                line.pop(at)
            else:
                deliver(at, keep=fate < 0.15)
    world.tick(luck.choice([0.01, 0.05, 0.3]))


@pytest.mark.parametrize("seed", range(10))
def test_a_long_call_through_a_storm_comes_whole_or_fails_with_a_code(seed: int) -> None:
    world, _ = storm(seed)
    world.calm()
    error = end_of(world)
    assert world.answers == world.sent_answers[: len(world.answers)]
    assert world.requests == world.sent_requests[: len(world.requests)]
    if error is None:
        assert len(world.answers) == 60
        assert len(world.requests) == 60
    else:
        assert error.reason in ("STREAM_GAP", "PEER_LOST")


def test_most_calls_survive_the_storm() -> None:
    assert sum(_survives(seed) for seed in range(20)) >= 15


def _survives(seed: int) -> bool:
    world, _ = storm(seed)
    world.calm()
    return end_of(world) is None


def mutations(luck: random.Random, data: bytes) -> bytes:
    mutated = bytearray(data)
    for _ in range(luck.randint(1, 4)):
        if mutated:
            mutated[luck.randrange(len(mutated))] = luck.randrange(256)
    return bytes(mutated)


def frames_to_mutate() -> list[bytes]:
    shapes: list[dict[str, Any]] = [
        {"open": Open(protocol_version=1, initial_credit=3, resume_key=KEY)},
        {"sequence": 1, "payload": [b"a"]},
        {"sequence": 3, "payload": [b"a", b"b"], "more": True},
        {"sequence": 1, "half_close": True},
        {"credit": Credit(granted=9, consumed=2)},
        {"ping": Ping(nonce=3)},
        {"resume": Resume(after=1, resume_key=KEY, granted=9)},
        {"close": Close(status=RpcError(Code.INTERNAL, "x", retry_after=1.0).to_status(), trailers={"a": "b"})},
    ]
    return [Frame(call_id="c", epoch=EPOCH, **shape).SerializeToString() for shape in shapes]


@pytest.mark.parametrize("seed", range(4))
def test_no_frame_that_can_be_read_makes_a_machine_raise_or_grow(seed: int) -> None:
    luck = random.Random(seed)
    samples = frames_to_mutate()
    world = served()
    read = 0
    for number in range(5000):
        if number % 50 == 0:
            world = served()
        frame = Frame()
        try:
            frame.ParseFromString(mutations(luck, luck.choice(samples)))
        except DecodeError:
            continue
        read += 1
        frame.epoch = EPOCH
        assert world.responder is not None
        try:
            world.responder.receive(frame, world.now)
        except RpcError as error:
            assert error.reason == "RESUME_OUT_OF_RANGE"
        with suppress(DecodeError):  # details of an error that cannot be read; the channel ends the call
            world.caller.receive(frame, world.now)
        world.pump()
        assert len(world.responder._controls) + len(world.caller._controls) < 5
        world.tick(0.1)
        world.up.clear()
        world.down.clear()
    assert read > 500
