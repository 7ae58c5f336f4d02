"""A server stream that outlives its connection."""

import asyncio
import secrets
from typing import Any, Protocol

import grpc

from bus.caller import Beside
from bus.errors import RpcError
from bus.service import Metadata, MethodInfo
from bus.stream import MAX_PIECE
from troupe_client.failures import ConnectionLost, rpc_error
from troupe_client.metadata import Pairs, told
from troupe_client.patience import MAX_ATTEMPTS, Deadline, Patience

PROGRESS_FIELD = 15


class Position:
    """How far a stream has come, and the secret that continues it."""

    __slots__ = ("after", "call_id", "epoch", "key")

    def __init__(self) -> None:
        self.key = secrets.token_bytes(24)
        self.call_id = ""
        self.epoch = "0"
        self.after = 0

    @property
    def known(self) -> bool:
        """The hub has named the call, so that it can be continued."""
        return bool(self.call_id)

    @property
    def accepted(self) -> bool:
        """The hub had found who answers the call when it named it."""
        return self.epoch != "0"

    def begun(self, metadata: Any) -> None:
        """The hub has named the call. metadata: the answer's initial metadata, which may lack it."""
        for key, value in metadata or ():
            if key == "troupe-call-id":
                self.call_id = str(value)
            elif key == "troupe-epoch":
                self.epoch = str(value)

    def take(self, payload: bytes) -> None:
        """A message came: it counts as many pieces as the bus had made of it."""
        self.after += max(1, -(-len(payload) // MAX_PIECE))

    def opening(self) -> Pairs:
        """Metadata that makes the call resumable."""
        return [("troupe-resume-key-bin", self.key)]

    def resuming(self) -> Pairs:
        """Metadata that continues the call."""
        return [
            ("troupe-resume-call-id", self.call_id),
            ("troupe-resume-epoch", self.epoch),
            ("troupe-resume-after", str(self.after)),
            ("troupe-resume-key-bin", self.key),
        ]

    def cancelling(self) -> Pairs:
        """Metadata that stops the call."""
        return [*self.resuming(), ("troupe-cancel", "1")]


class Opener(Protocol):
    """What opens the stream's connections: GrpcChannel."""

    async def ready(self, within: float, deadline: Deadline) -> None:
        """Return once there is a connection. Raises HubUnreachable, DEADLINE_EXCEEDED."""

    def open_stream(
        self, method: MethodInfo, payload: bytes, deadline: Deadline, metadata: Metadata | None, own: Pairs
    ) -> "grpc.aio.UnaryStreamCall[bytes, bytes]":
        """Begin a server stream of bytes."""

    def stop(self, method: MethodInfo, position: Position) -> None:
        """Tell the hub that nobody wants the rest."""


class ServerStream:
    """One server stream over as many connections as it takes: each message once and in order, or an error."""

    def __init__(
        self,
        opener: Opener,
        method: MethodInfo,
        payload: bytes,
        deadline: Deadline,
        metadata: Metadata | None,
        patience: float,
        beside: Beside,
    ) -> None:
        self._opener = opener
        self._method = method
        self._payload = payload
        self._deadline = deadline
        self._metadata = metadata
        self._beside = beside
        self._seconds = patience
        self._patience = Patience(patience)
        self._position = Position()
        self._call: grpc.aio.UnaryStreamCall[bytes, bytes] | None = None
        self._ended = False
        self._only_progress = True

    async def read(self) -> bytes | None:
        """The next message; None at the end. Raises RpcError. Cancelling a read loses no message, but ends the call."""
        while not self._ended:
            try:
                return await self._read()
            except grpc.aio.AioRpcError as error:
                self._beside.trailers = told(error.trailing_metadata())
                await self._recover(rpc_error(error))
        return None

    async def _read(self) -> bytes | None:
        call = self._call or await self._begin()
        payload = await call.read()
        if not isinstance(payload, bytes):
            self._ended = True
            self._beside.trailers = told(await call.trailing_metadata())
            return None
        self._position.take(payload)
        self._patience.renew()
        self._only_progress = self._only_progress and is_progress(self._method, payload)
        return payload

    async def _begin(self) -> "grpc.aio.UnaryStreamCall[bytes, bytes]":
        await self._opener.ready(self._seconds, self._deadline)
        again = self._position.known
        own = self._position.resuming() if again else self._position.opening()
        payload = b"" if again else self._payload
        call = self._opener.open_stream(self._method, payload, self._deadline, self._metadata, own)
        self._call = call
        answered = await call.initial_metadata()
        self._position.begun(answered)
        self._beside.headers = self._beside.headers or told(answered)
        return call

    async def _recover(self, error: RpcError) -> None:
        """Wait until the stream may be continued or begun again. Raises the error where it may not."""
        self._call = None
        try:
            delay = self._patience.delay(error, self._attempts(error))
        except RpcError:
            self._ended = True
            raise
        await asyncio.sleep(self._deadline.within(delay))

    def _attempts(self, error: RpcError) -> int:
        """How often to try before this error is the caller's."""
        if self._never_began(error):
            self._position = Position()
            return MAX_ATTEMPTS
        continuable = self._position.known or self._method.policy.idempotent
        return MAX_ATTEMPTS if isinstance(error, ConnectionLost) and continuable else 1

    def _never_began(self, error: RpcError) -> bool:
        """The connection broke while the hub still looked for someone, so that nobody has begun."""
        return error.reason == "CALL_NOT_FOUND" and self._only_progress and not self._position.accepted

    def leave(self) -> None:
        """Nobody reads on: a call that has not ended is cancelled."""
        if self._call is not None and not self._call.done():
            self._call.cancel()
        if not self._ended and self._position.known:
            self._opener.stop(self._method, self._position)
        self._ended = True


def is_progress(method: MethodInfo, payload: bytes) -> bool:
    """The message tells progress and nothing else."""
    fields = method.response.FromString(payload).ListFields()
    return bool(fields) and all(descriptor.number == PROGRESS_FIELD for descriptor, _ in fields)
