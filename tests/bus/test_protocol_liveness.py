"""What a call does about loss, silence and peers that are gone."""

from bus.protocol import (
    ACCEPT_SECONDS,
    GAP_SECONDS,
    MISSING_SECONDS,
    PING_SECONDS,
    REACCEPT_SECONDS,
)
from bus.responder_protocol import SILENCE_SECONDS
from bus.stream import REQUEST_WINDOW
from troupe.rpc.v1 import Credit, Frame, Ping, Resume

from .protocol_world import EPOCH, KEY, World, end_of, let_pass, message, reason_of, served


def test_a_slow_stream_is_not_taken_for_dead_by_a_responder_that_hears_nothing() -> None:
    world = served(64)
    for number in range(30):
        world.send_answer(message(number, 10))
        let_pass(world, 3.0)
    assert world.handler_cancelled == 0
    assert world.responder is not None
    world.responder.finish(None)
    world.deliver_everything()
    assert end_of(world) is None
    assert len(world.answers) == 30


def test_one_lost_ping_ends_nothing() -> None:
    world = served()
    let_pass(world, PING_SECONDS + 0.3, delivering=False)
    assert world.up
    world.up.clear()
    world.down.clear()
    let_pass(world, 20.0)
    assert not world.consumer.ends


def test_a_lost_acceptance_is_said_again() -> None:
    world = World()
    world.pump()
    world.deliver_up()
    world.pump()
    world.down.clear()
    let_pass(world, 2.0)
    assert world.caller.accepted


def test_a_call_that_nobody_accepts_ends() -> None:
    world = World()
    world.pump()
    world.up.clear()
    let_pass(world, ACCEPT_SECONDS + 1.0)
    assert reason_of(world) == "PEER_LOST"


def test_a_call_that_the_bus_lost_ends_soon_after_its_return_and_says_so() -> None:
    world = World()
    world.pump()
    world.up.clear()
    let_pass(world, 2.0)
    world.caller.reconnected(world.now)
    let_pass(world, REACCEPT_SECONDS + 0.5)
    assert reason_of(world) == "BUS_INTERRUPTED"


def test_a_call_that_was_not_yet_sent_or_is_accepted_late_outlives_the_bus() -> None:
    world = World()
    world.caller.reconnected(world.now)  # its OPEN waits for this
    world.pump()
    open_, world.up = world.up, []
    let_pass(world, REACCEPT_SECONDS + 0.5)
    assert not world.consumer.ends
    world.caller.reconnected(world.now)
    world.up = open_
    world.deliver_everything()
    let_pass(world, REACCEPT_SECONDS + 0.5)
    assert world.caller.accepted
    assert not world.consumer.ends


def test_a_responder_that_answers_a_given_up_call_is_told_to_stop() -> None:
    world = World()
    world.pump()
    open_, world.up = world.up, []
    let_pass(world, ACCEPT_SECONDS + 1.0)
    world.up = open_
    world.deliver_everything()
    assert world.handler_cancelled == 1


def test_a_lost_cancel_is_repeated_when_the_responder_talks_on() -> None:
    world = served()
    world.caller.cancel("enough")
    world.pump()
    world.up.clear()
    world.send_answer(b"more")
    world.deliver_everything()
    assert world.handler_cancelled == 1


def test_last_words_are_forgotten_once_the_responder_has_heard_them() -> None:
    world = served()
    world.caller.cancel("enough")
    world.pump()
    assert world.caller.has_last_words
    world.deliver_everything()
    assert not world.caller.has_last_words


def test_a_lost_close_comes_again_after_a_ping() -> None:
    world = served()
    world.send_answer(b"last")
    assert world.responder is not None
    world.responder.finish(None)
    world.pump()
    world.down.clear()
    let_pass(world, PING_SECONDS + 1.0)
    assert end_of(world) is None
    assert world.answers == [b"last"]


def test_a_lost_half_close_is_repaired_while_the_responder_talks() -> None:
    world = served(64)
    world.caller.half_close()
    world.pump()
    world.up.clear()
    for number in range(7):
        world.send_answer(message(number, 1))
        let_pass(world, 1.0)
    assert world.half_closes == 1


def test_a_lost_credit_is_repaired_in_both_directions() -> None:
    world = served(2)
    world.send_answer(b"1")
    world.send_answer(b"2")
    for number in range(REQUEST_WINDOW):
        world.send_request(message(number, 1))
    world.deliver_everything()
    world.take_everything()
    world.pump()
    world.up.clear()
    world.down.clear()
    assert world.responder is not None
    both = (world.responder.outgoing, world.caller.outgoing)
    assert [outgoing.ready for outgoing in both] == [False, False]
    let_pass(world, PING_SECONDS + 1.0)
    assert [outgoing.ready for outgoing in both] == [True, True]


def test_a_peer_that_is_silent_is_lost_after_twice_the_ping_time() -> None:
    world = served()
    world.cut = True
    let_pass(world, 2 * PING_SECONDS + 1.5)
    assert reason_of(world) == "PEER_LOST"


def test_a_peer_that_left_the_bus_is_lost_after_the_missing_time() -> None:
    world = served()
    world.caller.no_responders(world.now)
    world.cut = True
    let_pass(world, MISSING_SECONDS + 0.5)
    assert reason_of(world) == "PEER_LOST"


def test_a_peer_that_comes_back_to_the_bus_is_not_lost() -> None:
    world = served()
    world.caller.no_responders(world.now)
    world.send_answer(b"x")
    let_pass(world, MISSING_SECONDS + 1.0)
    assert not world.consumer.ends


def test_a_process_that_is_gone_ends_its_calls_at_once() -> None:
    world = served()
    world.caller.peer_gone("llama-1")
    world.consumer.settle()
    assert reason_of(world) == "PEER_LOST"


def test_nobody_there_is_known_at_once() -> None:
    world = World()
    world.pump()
    world.caller.no_responders(world.now)
    world.consumer.settle()
    assert reason_of(world) == "NO_RESPONDERS"


def test_a_gap_that_stays_open_ends_the_call_with_a_code_and_never_short() -> None:
    world = served(64)
    world.send_answer(b"1")
    world.pump()
    world.down.clear()
    world.send_answer(b"2")
    world.pump()
    world.deliver_down()
    ends = world.now + GAP_SECONDS + 2
    while world.now < ends:
        world.up.clear()
        world.tick(0.2)
        world.pump()
        world.caller.receive(Frame(call_id="c", epoch=EPOCH, sequence=2), world.now)
    world.consumer.settle()
    assert reason_of(world) == "STREAM_GAP"
    assert world.answers == []


def test_a_responder_that_hears_nothing_for_long_cancels_after_the_grace_period() -> None:
    world = served(grace=5.0)
    world.caller.hand_over()
    let_pass(world, SILENCE_SECONDS + 4.0)
    assert world.handler_cancelled == 0
    let_pass(world, 2.0)
    assert world.handler_cancelled == 1


def test_a_word_of_the_caller_is_enough_after_it_was_merely_missed() -> None:
    world = served(grace=2 * PING_SECONDS)
    assert world.responder is not None
    world.responder.detach(world.now)
    world.send_answer(b"x")
    world.deliver_everything()
    assert world.answers == []
    let_pass(world, PING_SECONDS + 1.0)
    assert world.answers == [b"x"]


def test_a_late_frame_of_a_caller_that_left_does_not_bring_it_back() -> None:
    world = served()
    assert world.responder is not None
    world.caller.detach()
    world.deliver_everything()
    world.responder.receive(Frame(call_id="c", epoch=EPOCH, credit=Credit(granted=20, consumed=0)), world.now)
    world.send_answer(b"x")
    assert world.responder.frames() == []
    world.responder.receive(Frame(call_id="c", epoch=EPOCH, resume=Resume(after=0, resume_key=KEY)), world.now)
    assert [bytes(frame.payload[0]) for frame in world.responder.frames() if frame.payload] == [b"x"]


def test_pings_to_a_call_without_consumer_take_no_memory() -> None:
    world = served()
    assert world.responder is not None
    world.caller.detach()
    world.deliver_everything()
    for nonce in range(100):
        world.responder.receive(Frame(call_id="c", epoch=EPOCH, ping=Ping(nonce=nonce)), world.now)
        assert world.responder.frames() == []
    assert world.responder._controls == []
