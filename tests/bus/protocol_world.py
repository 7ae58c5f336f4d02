"""A caller, a responder, and between them a network that the test moves by hand."""

from bus.errors import RpcError
from bus.protocol import (
    AskedAgain,
    CallerProtocol,
    Cancelled,
    Closed,
    HalfClosed,
    Received,
)
from bus.responder_protocol import ResponderProtocol
from bus.stream import MAX_FRAME, Assembler
from troupe.rpc.v1 import Close, Frame, Open

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
            while frames := consumer.protocol.frames():
                for frame in frames:
                    self._put(self.up, index, frame)
        if self.responder is not None:
            self._settle_responder()
            while frames := self.responder.frames():
                for frame in frames:
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


def message(number: int, size: int) -> bytes:
    return b"%d:" % number + b"x" * size


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
