"""A WebSocket client of binary frames, by hand: a load generator shall cost as little as possible."""

import asyncio
import base64
import os
from typing import cast

from troupe.rpc.v1 import Frame


class PlainSocket(asyncio.Protocol):
    """One connection. Subclasses say what is done once it stands and with each frame."""

    def __init__(self) -> None:
        self._buffer = b""
        self._upgraded = False

    def begin(self) -> None:
        """The connection stands."""

    def on_frame(self, frame: Frame) -> None:
        """A frame came."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        key = base64.b64encode(os.urandom(16)).decode()
        self._transport.write(
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: troupe.v1.binary\r\n\r\n".encode()
        )

    def send(self, frame: Frame) -> None:
        """One frame, of less than 64 KiB."""
        data = frame.SerializeToString()
        # A mask of zeros is a mask; it leaves the bytes as they are.
        head = (
            bytes([0x82, 0x80 | len(data)]) if len(data) < 126 else bytes([0x82, 0xFE, len(data) >> 8, len(data) & 255])
        )
        self._transport.write(head + b"\0\0\0\0" + data)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data
        if not self._upgraded:
            head, found, buffer = buffer.partition(b"\r\n\r\n")
            if not found:
                self._buffer = head
                return
            assert b" 101 " in head.split(b"\r\n")[0], head
            self._upgraded = True
            self.begin()
        self._buffer = self._parse(buffer)

    def _parse(self, buffer: bytes) -> bytes:
        at = 0
        while len(buffer) - at >= 2:
            size, head = buffer[at + 1] & 0x7F, 2
            if size == 126:
                size, head = int.from_bytes(buffer[at + 2 : at + 4]), 4
            elif size == 127:
                size, head = int.from_bytes(buffer[at + 2 : at + 10]), 10
            if len(buffer) - at < head + size:
                break
            if buffer[at] & 15 == 2:
                self.on_frame(Frame.FromString(buffer[at + head : at + head + size]))
            at += head + size
        return buffer[at:]
