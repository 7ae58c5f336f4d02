"""Any interleaving of what both sides do with what a network can do: hypothesis plays the network."""

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bus.errors import Code, RpcError
from bus.protocol import CallerProtocol
from bus.stream import RING_PIECES
from troupe.rpc.v1 import Resume

from .protocol_world import EPOCH, KEY, Consumer, World, message

PIECE = st.sampled_from([0, 1, 20, 3000, 20_000, 60_000, 110_000])


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
