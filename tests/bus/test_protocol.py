"""The rules of a call, one by one: what is said when, and what is refused."""

import pytest

from bus import errors
from bus.errors import Code, RpcError
from bus.protocol import (
    CallerProtocol,
    Closed,
)
from bus.responder_protocol import ResponderProtocol
from troupe.rpc.v1 import Frame, Open, Resume

from .protocol_world import EPOCH, KEY, World, message, reason_of, served


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


def test_a_call_that_is_cancelled_before_its_open_has_left_is_never_opened() -> None:
    world = World()
    world.caller.cancel("at once")
    world.pump()
    assert not world.up
    assert not world.caller.talks
    assert reason_of(world) == "CANCELLED"


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
