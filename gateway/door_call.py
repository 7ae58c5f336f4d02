"""One call of a WebSocket, from its first frame on."""

import asyncio
import contextlib

from bus.stream import REQUEST_WINDOW, Assembler, Incoming, Pieces
from gateway.codec import BinaryForm, JsonForm
from gateway.limits import MessageRate
from gateway.opening import Opening, does_not_wait
from gateway.relay import Relay
from troupe.rpc.v1 import Frame


class DoorCall:
    """One call of a connection: what has come from its client, and its relay once it has begun.

    opening: until then; None also for a call that is resumed, for which `early` keeps what comes before it is found.
    rate: of what no credit bounds.
    """

    def __init__(self, call_id: str, form: BinaryForm | JsonForm, opening: Opening, rate: MessageRate) -> None:
        self.call_id = call_id
        self.form = form
        self.opening: Opening | None = opening
        self.early: list[Frame] = []
        self.rate = rate
        self.incoming = Incoming(REQUEST_WINDOW)
        self.gathering = Assembler()
        self.answers = Assembler()
        self.relay: Relay | None = None
        self.admission = contextlib.ExitStack()
        self.task: asyncio.Task[None] | None = None
        self.patience: asyncio.TimerHandle | None = None

    def gather(self, pieces: Pieces) -> None:
        """Pieces before the call has begun. Raises MESSAGE_TOO_LARGE."""
        assert self.opening is not None
        self.opening.batches.append(pieces)
        messages = self.gathering.feed(pieces)
        if messages and self.opening.first is None:
            self.opening.first = messages[0][0]

    def whole(self) -> Opening | None:
        """What the call begins with, once its first request is complete or none comes."""
        opening = self.opening
        assert opening is not None
        return opening if opening.first is not None or opening.half_closed or not opening.batches else None

    def begun(self, relay: Relay) -> None:
        """The relay has all that came."""
        self.relay, self.opening = relay, None
        self.end_patience()

    def keep(self, frame: Frame) -> None:
        """Payloads that came while the call is looked for. Raises RESOURCE_EXHAUSTED (CREDIT_EXCEEDED)."""
        if frame.payload or frame.half_close:
            if len(self.early) >= REQUEST_WINDOW:
                raise does_not_wait()
            self.early.append(frame)

    def end_patience(self) -> None:
        if self.patience is not None:
            self.patience.cancel()
            self.patience = None
