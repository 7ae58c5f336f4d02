"""Long calls over a bad network, and frames that were damaged on the way."""

import random
from contextlib import suppress
from typing import Any

import pytest
from google.protobuf.message import DecodeError

from bus.errors import Code, RpcError
from troupe.rpc.v1 import Close, Credit, Frame, Open, Ping, Resume

from .protocol_world import EPOCH, KEY, World, end_of, message, served


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
