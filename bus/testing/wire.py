"""A TCP connection's way to a server, which tests can cut, block and lead elsewhere."""

import asyncio
from collections.abc import Coroutine


class Wire:
    """A TCP proxy: cutting it resets its connections; while it is refusing, new ones are reset at once."""

    def __init__(self, target: int) -> None:
        """target: the port on the loopback that it leads to."""
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.refusing = False
        self.refused = asyncio.Event()

    async def open(self) -> None:
        """Take connections, on the same port as before if there was one."""
        self._server = await asyncio.start_server(self._take, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            self.refused.set()
            return
        self._writers.add(writer)
        self._own(self._lead(reader, writer))

    def _own(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        if writer not in self._writers:  # cut meanwhile
            far_writer.transport.abort()
            return
        self._writers.add(far_writer)
        self._own(_pump(reader, far_writer))
        self._own(_pump(far_reader, writer))

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def lead_to(self, port: int) -> None:
        """New connections go there."""
        self._target = port

    async def close(self) -> None:
        """Take no more connections, and reset those that there are."""
        if self._server is not None:
            self._server.close()
        self.cut()
        while self._tasks:
            await asyncio.wait(self._tasks)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    except OSError:
        return
    finally:
        sink.transport.abort()
