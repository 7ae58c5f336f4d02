"""The head of a response leaves with the first of its body."""

import asyncio
import logging
from collections.abc import Iterable

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gateway.http.protocol import hold_head


class Wire:
    """A connection that keeps each write by itself."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def writelines(self, lines: Iterable[bytes]) -> None:
        self.writes.append(b"".join(lines))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def cycle_on(wire: Wire, method: str = "POST") -> RequestResponseCycle:
    """uvicorn's own, of a request that waits to be told to go on."""
    quiet = logging.getLogger("uvicorn.test")
    quiet.disabled = True
    cycle = RequestResponseCycle(
        scope={"type": "http", "method": method},  # type: ignore[typeddict-item]  # all that is looked at
        transport=wire,  # type: ignore[arg-type]  # as much of one as a cycle uses
        flow=FlowControl(wire),  # type: ignore[arg-type]  # the same
        logger=quiet,
        access_logger=quiet,
        access_log=False,
        default_headers=[],
        message_event=asyncio.Event(),
        expect_100_continue=True,
        keep_alive=True,
        on_response=lambda: None,
    )
    hold_head(cycle)
    return cycle


async def start(cycle: RequestResponseCycle) -> None:
    await cycle.send({"type": "http.response.start", "status": 200, "headers": []})


async def body(cycle: RequestResponseCycle, text: bytes, *, more: bool) -> None:
    await cycle.send({"type": "http.response.body", "body": text, "more_body": more})


async def test_the_head_and_the_first_event_are_one_write_and_later_events_one_each() -> None:
    wire = Wire()
    cycle = cycle_on(wire)
    await start(cycle)
    assert wire.writes == []
    await body(cycle, b"one", more=True)
    assert len(wire.writes) == 1
    head, _, first = wire.writes[0].partition(b"\r\n\r\n")
    assert (head[:12], first) == (b"HTTP/1.1 200", b"3\r\none\r\n")
    await body(cycle, b"two", more=True)
    await body(cycle, b"", more=False)
    assert wire.writes[1:] == [b"3\r\ntwo\r\n", b"0\r\n\r\n"]


async def test_an_empty_body_lets_the_head_go() -> None:
    wire = Wire()
    cycle = cycle_on(wire)
    await cycle.send({"type": "http.response.start", "status": 204, "headers": []})
    await body(cycle, b"", more=False)
    assert [write[:12] for write in wire.writes] == [b"HTTP/1.1 204"]


async def test_word_to_go_on_does_not_wait_for_the_answer() -> None:
    wire = Wire()
    cycle = cycle_on(wire)
    cycle.message_event.set()
    await cycle.receive()
    assert wire.writes == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    await start(cycle)
    await body(cycle, b"x", more=False)
    assert len(wire.writes) == 2
    assert wire.writes[1].startswith(b"HTTP/1.1 200")


async def test_the_head_of_an_answer_without_body_leaves_at_once() -> None:
    wire = Wire()
    cycle = cycle_on(wire, "HEAD")
    await start(cycle)
    assert [write[:12] for write in wire.writes] == [b"HTTP/1.1 200"]
    await body(cycle, b"", more=False)
    assert len(wire.writes) == 1


async def test_an_answer_that_breaks_off_shows_its_head_and_closes() -> None:
    wire = Wire()
    cycle = cycle_on(wire)

    async def broken(scope: object, receive: object, send: object) -> None:
        await start(cycle)
        raise OSError("the disk is gone")

    await cycle.run_asgi(broken)
    assert [write[:12] for write in wire.writes] == [b"HTTP/1.1 200"]
    assert wire.closed
