"""A call of whole messages, for whoever reads them here; CallDriver does the rest."""

from bus.call_driver import CallDriver, CallOwner
from bus.caller import Beside
from bus.errors import BusyStream, Code, RpcError
from bus.mailbox import Mailbox
from bus.protocol import AskedAgain, CallerProtocol, Event, Received
from bus.service import MethodInfo


class Call(CallDriver):
    """A call of whole messages as bytes. Iterate it for the answers; credit follows what was taken.

    One task reads and one sends at a time; another that tries gets BusyStream at once.
    """

    def __init__(
        self,
        owner: CallOwner,
        protocol: CallerProtocol,
        method: MethodInfo,
        route: str = "",
        beside: Beside | None = None,
    ) -> None:
        super().__init__(owner, protocol, method, route, beside=beside)
        self._mailbox = Mailbox()
        self._reading = False
        self._sending = False

    def on_event(self, event: Event) -> None:
        if isinstance(event, Received):
            try:
                consumed = self._mailbox.put(event.pieces)
            except RpcError as error:
                self.protocol.cancel("message too large", error)
            else:
                self.protocol.consume(consumed)
        elif isinstance(event, AskedAgain):
            self.protocol.cancel(
                "lost",
                RpcError(Code.UNAVAILABLE, "A part of the request was lost. Repeat the call.", reason="STREAM_GAP"),
            )

    async def send(self, message: bytes) -> None:
        """Send one request message; waits for credit. Raises the call's error if it has ended with one, BusyStream."""
        if self._sending:
            raise BusyStream("Another task sends on this call; let one task send.")
        self._sending = True
        try:
            while not self.protocol.outgoing.ready and not self.closed:
                await self.changed()
        finally:
            self._sending = False
        if self.closed:
            if self.error:
                raise self.error
            return
        self.protocol.outgoing.push(message)
        self._owner.pump.mark(self)

    def half_close(self) -> None:
        """No further request messages."""
        self.protocol.half_close()
        self._owner.pump.mark(self)

    def __aiter__(self) -> "Call":
        return self

    async def __anext__(self) -> bytes:
        if self.holds_any or await self.arrived():
            return self.take()
        raise StopAsyncIteration

    @property
    def holds_any(self) -> bool:
        """A message is here."""
        return bool(self._mailbox)

    def take(self) -> bytes:
        """The oldest message that is here; there must be one (`arrived`). Raises BusyStream."""
        if self._reading:
            raise BusyStream("Another task reads this call; let one task read.")
        message, consumed = self._mailbox.take()
        if self.protocol.consume(consumed) and not self.marked:
            self._owner.pump.mark(self)
        self.credited()
        return message

    async def arrived(self) -> bool:
        """Return when a message is here (True) or the call has ended. Raises the call's error, BusyStream."""
        if self._reading:
            raise BusyStream("Another task reads this call; let one task read.")
        self._reading = True
        try:
            while not self._mailbox:
                if self.closed:
                    if self.error:
                        raise self.error
                    return False
                await self.changed()
        finally:
            self._reading = False
        return True
