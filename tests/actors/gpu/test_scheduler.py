"""One rule after the other, in the order of the scheduler's docstring. Of the budget of 16 GB 12.8 may be used."""

import pytest

from actors.gpu.urgency import (
    DRAIN_SECONDS,
    HANDOVER_SECONDS,
    IDLE_SECONDS,
    OUT_OF_MEMORY_GROWTH,
    OUT_OF_MEMORY_LIMIT,
    OVER_SECONDS,
    OVERDUE_AGAIN_SECONDS,
    PATIENCE_PER_SWITCH,
    PREEMPT_SECONDS,
    QUARANTINE_SECONDS,
    RESERVATION_SECONDS,
    RESIDENCY_SECONDS,
    SETTLE_SECONDS,
    URGENCY,
    VERIFY_SECONDS,
)
from actors.gpu.wants import MAX_WANTS
from actors.gpu.words import (
    Claimed,
    Decision,
    DemandEnded,
    DeviceLost,
    Effect,
    Granted,
    GrowAsked,
    Grown,
    Kind,
    Loaded,
    Measured,
    OutOfMemory,
    Overdue,
    Pinned,
    Placed,
    Refused,
    Released,
    Revoke,
    Told,
    Variant,
    Verified,
)
from bus.priority import Priority

from .recorder import GB, Recorder, work

PATIENCE = PATIENCE_PER_SWITCH * 2.0
"""Of an interactive want here, where every load takes a second."""


# ---- 1: the ceiling first


def test_what_can_never_fit_is_refused_at_once_with_what_would_fit() -> None:
    own = Recorder()
    big = work(
        "big",
        variants=[
            Variant({Kind.NVIDIA: 13 * GB}),
            Variant({Kind.NVIDIA: 12 * GB}, note="with 2,048 tokens of context"),
            Variant({Kind.NVIDIA: 14 * GB}, note="with more slots"),
            Variant({Kind.NVIDIA: 7 * GB}, note="as Q4_K_M"),
        ],
    )
    refused = own.one(own.demand("d", big), Refused)
    assert (refused.waiting, refused.reason) == ("d", "INSUFFICIENT_MEMORY")
    assert (refused.needed, refused.available) == (13 * GB, int(12.8 * GB))
    assert refused.fits == ["with 2,048 tokens of context", "as Q4_K_M"]
    assert refused.retry_after is None
    assert "needs 12.1 GiB, and card may give 11.9 GiB" in refused.message
    assert own.queue() == []


def test_what_would_fit_names_the_keys_that_say_so_and_their_section() -> None:
    own = Recorder()
    small = Variant({Kind.NVIDIA: 7 * GB}, note="one answer at a time (slots = 1)")
    big = work("llama/big", variants=[Variant({Kind.NVIDIA: 13 * GB}), small])
    refused = own.one(own.demand("d", big), Refused)
    assert refused.message.endswith("It would fit one answer at a time (slots = 1). These are keys of [actors.llama].")


def test_a_process_that_asks_for_what_can_never_fit_is_refused_too() -> None:
    own = Recorder()
    assert own.one(own.ask("l", work("big", 13)), Refused).waiting == "l"


def test_without_devices_everything_is_refused() -> None:
    own = Recorder(total=None)
    assert "there is no device for it" in own.one(own.demand("d", work("a")), Refused).message


def test_what_fits_exactly_fits() -> None:
    own = Recorder()
    assert own.placed(own.demand("d", work("a", 12.8))) == ["d"]


# ---- 2: never above the cap


def test_nothing_is_placed_beside_what_others_use() -> None:
    own = Recorder()
    own.device("card", 16, others=8)
    assert own.placed(own.demand("d", work("a", 5))) == []
    assert own.wish("a").others
    assert own.placed(own.device("card", 16, others=7)) == ["d"]


def test_who_waits_for_a_lease_does_not_wait_for_others() -> None:
    own = Recorder()
    own.load("a", work("a", 10))
    own.use("a")
    own.demand("d", work("b", 10))
    assert not own.wish("b").others


def test_what_our_holders_are_seen_to_use_counts_where_it_is_more_than_they_were_granted() -> None:
    own = Recorder()
    own.load("a", work("a", 5))
    own.use("a")
    own.device("card", 16, ours=9)
    assert own.placed(own.demand("d", work("b", 5))) == []
    assert own.placed(own.device("card", 16, ours=5)) == ["d"]


def test_when_others_grow_idle_leases_go_until_it_fits_and_busy_ones_stay() -> None:
    own = Recorder()
    own.load("busy", work("busy", 5))
    own.use("busy")
    own.load("seldom", work("seldom", 2))
    own.load("often", work("often", 2))
    own.use("often", 0, begun=40)
    assert own.revoked(own.device("card", 16, others=5)) == []
    assert own.revoked(own.wait(OVER_SECONDS)) == ["seldom"]
    assert own.rules(own.said)[-1] == "2"
    assert own.revoked(own.device("card", 16, others=16)) == ["often"]
    assert own.states()["busy"] == "busy"
    assert own.revoked(own.wait(1)) == []
    assert own.revoked(own.use("busy", 0)) == ["busy"]


def test_a_moment_above_the_cap_revokes_nobody() -> None:
    own = Recorder()
    own.load("a", work("a", 5))
    own.device("card", 16, others=10)
    own.wait(OVER_SECONDS / 2)
    own.device("card", 16, others=0)
    assert own.revoked(own.wait(10 * OVER_SECONDS)) == []


def test_above_the_cap_a_place_that_nobody_has_taken_up_goes_first() -> None:
    own = Recorder()
    own.load("a", work("a", 5))
    own.demand("d", work("b", 5))
    own.device("card", 16, others=5)
    said = own.wait(OVER_SECONDS)
    assert own.one(said, Told).position == 0
    assert own.revoked(said) == []
    assert own.states() == {"a": "idle"}


def test_a_process_that_comes_for_its_place_while_others_use_it_waits() -> None:
    own = Recorder()
    own.demand("d", work("a", 5))
    own.device("card", 16, others=9)
    assert own.granted(own.ask("l", work("a", 5))) == []
    assert own.queue() == ["a"]
    assert own.granted(own.device("card", 16)) == ["l"]


def test_memory_of_a_lost_device_is_given_to_nobody() -> None:
    own = Recorder()
    own.device("second", 16)
    own.say(DeviceLost("card"))
    assert set(own.one(own.demand("d", work("a")), Placed).shares) == {"second"}
    assert own.one(own.demand("e", work("b", 5, devices=["card"])), Refused).reason == "INSUFFICIENT_MEMORY"


# ---- 3: wants queue, joined by name


def test_a_demand_is_placed_and_its_process_takes_the_place_up() -> None:
    own = Recorder()
    assert own.one(own.demand("d", work("a")), Placed) == Placed("d", {"card": 5 * GB})
    assert own.states() == {"a": "placed"}
    assert own.one(own.ask("l", work("a")), Granted) == Granted("l", {"card": 5 * GB})
    assert own.states() == {"l": "loading"}
    own.say(Loaded("l"))
    assert own.states() == {"l": "busy"}
    own.say(DemandEnded("d"))
    own.use("l")
    own.use("l", 0)
    assert own.states() == {"l": "idle"}


def test_a_process_that_needs_less_than_its_place_is_granted_what_it_needs() -> None:
    own = Recorder()
    own.demand("d", work("a", 9))
    assert own.one(own.ask("l", work("a", 5)), Granted).shares == {"card": 5 * GB}
    assert own.placed(own.demand("e", work("b", 7))) == ["e"]


def test_a_process_that_needs_more_than_its_place_gets_it_where_there_is_room_and_waits_else() -> None:
    own = Recorder()
    own.demand("d", work("a", 5))
    assert own.granted(own.ask("l", work("a", 8))) == ["l"]
    own = Recorder()
    own.load("b", work("b", 7))
    own.use("b")
    own.demand("d", work("a", 5))
    assert own.granted(own.ask("l", work("a", 8))) == []
    own.release("b")
    assert own.lease("l").shares == {"card": 8 * GB}


def test_wants_for_one_name_have_one_place_in_the_queue_and_are_placed_together() -> None:
    own = Recorder()
    own.load("x", work("x", 9))
    own.use("x")
    own.demand("1", work("a"))
    own.demand("2", work("b"))
    own.demand("3", work("a"))
    assert own.queue() == ["a", "b"]
    assert own.wish("a").waiting == 2
    assert own.placed(own.release("x")) == ["1", "3", "2"]


def test_a_demand_for_what_is_there_is_placed_at_once() -> None:
    own = Recorder()
    own.load("l", work("a"))
    assert own.placed(own.demand("d", work("a"))) == ["d"]
    assert own.states() == {"l": "busy"}
    own.wait(HANDOVER_SECONDS)
    assert own.states() == {"l": "idle"}


def test_a_demand_for_what_is_leaving_waits_and_comes_back() -> None:
    own = Recorder()
    own.load("l", work("a", 9))
    own.wait(60)
    own.demand("1", work("b", 9))
    assert own.states() == {"l": "revoked"}
    assert own.placed(own.demand("2", work("a", 9))) == []
    assert own.placed(own.release("l")) == ["1"]


def test_who_waits_hears_position_eta_and_reason_and_hears_again_when_that_changes() -> None:
    own = Recorder()
    own.load("x", work("x", 9))
    own.use("x")
    assert own.placed(own.demand("1", work("a", 3))) == ["1"]
    told = own.one(own.demand("2", work("b", 9)), Told)
    assert (told.waiting, told.position) == ("2", 1)
    assert told.eta is not None
    assert told.eta > 1.0
    assert "x" in told.reason
    assert own.one(own.demand("3", work("c", 9), Priority.BATCH), Told).position == 2
    assert own.only(own.wait(0.01), Told) == []
    own.say(DemandEnded("2"))
    assert own.wish("c").position == 1
    assert own.only(own.said, Told)[-1].position == 1


def test_a_cancelled_want_leaves_no_trace_and_touches_nobody() -> None:
    own = Recorder()
    own.load("x", work("x", 9))
    own.use("x")
    own.demand("1", work("a", 9))
    before = own.states()
    assert own.only(own.say(DemandEnded("1")), Decision) == []
    assert (own.queue(), own.states()) == ([], before)
    own.ask("l", work("a", 9))
    own.say(Released("l"))
    assert (own.queue(), own.states()) == ([], before)


def test_several_processes_of_one_name_have_memory_of_their_own() -> None:
    own = Recorder()
    own.load("l1", work("a"))
    own.load("l2", work("a"))
    assert own.granted(own.ask("l3", work("a"))) == []
    assert own.granted(own.release("l1")) == ["l3"]


def test_the_queue_has_an_end() -> None:
    own = Recorder()
    own.load("x", work("x", 12))
    own.use("x")
    wants = own.scheduler._wants
    for number in range(MAX_WANTS):
        wants._names[str(number)] = "somebody"
    refused = own.one(own.demand("one more", work("a")), Refused)
    assert (refused.reason, refused.retry_after is not None) == ("TOO_MANY_WAITING", True)


def test_what_is_told_twice_or_unknown_does_nothing() -> None:
    own = Recorder()
    own.demand("d", work("a"))
    assert own.demand("d", work("a")) == []
    own.ask("l", work("a"))
    assert own.ask("l", work("a")) == []
    for happening in (
        DemandEnded("?"), Loaded("?"), GrowAsked("?", {}), OutOfMemory("?"), Released("?"), Verified("?"),
        DeviceLost("?"), Verified("l"),
    ):  # fmt: skip
        assert own.say(happening) == []
    assert own.use("?") == []


# ---- 4: places are not kept for ever


def test_a_place_that_no_process_takes_up_is_freed_and_told() -> None:
    own = Recorder()
    own.demand("1", work("a", 9))
    own.demand("2", work("b", 9))
    said = own.wait(RESERVATION_SECONDS)
    assert own.placed(said) == ["2"]
    assert [told.waiting for told in own.only(said, Told)] == ["1"]


def test_a_place_that_nobody_waits_for_any_more_is_freed_at_once() -> None:
    own = Recorder()
    own.demand("1", work("a", 9))
    own.demand("2", work("b", 9))
    assert own.placed(own.say(DemandEnded("1"))) == ["2"]


def test_a_process_that_comes_late_has_its_demands_age() -> None:
    own = Recorder()
    own.demand("1", work("a", 9))
    own.wait(RESERVATION_SECONDS)
    own.load("x", work("x", 9))
    own.use("x")
    own.demand("2", work("b", 9))
    own.ask("l", work("a", 9))
    assert own.queue() == ["a", "b"]


# ---- 5: the order


def blocked() -> Recorder:
    """Pinned work holds all there is, so that nothing moves until it is released."""
    own = Recorder()
    own.load("x", work("x", 12, pinned=True))
    return own


def test_classes_go_before_age() -> None:
    own = blocked()
    own.demand("1", work("training"), Priority.TRAINING)
    own.demand("2", work("batch"), Priority.BATCH)
    own.demand("3", work("interactive"), Priority.INTERACTIVE)
    own.demand("4", work("voice"), Priority.VOICE)
    assert own.queue() == ["voice", "interactive", "batch", "training"]


def test_the_overdue_go_before_each_class() -> None:
    own = blocked()
    own.demand("1", work("batch"), Priority.BATCH)
    own.wait(URGENCY[Priority.BATCH].bound / 2)
    own.demand("2", work("voice"), Priority.VOICE)
    assert own.queue() == ["batch", "voice"]


def test_an_urgent_want_takes_all_of_its_name_along() -> None:
    own = blocked()
    own.demand("1", work("a"), Priority.BATCH)
    own.demand("2", work("b"), Priority.INTERACTIVE)
    own.demand("3", work("a"), Priority.VOICE)
    assert own.queue() == ["a", "b"]


def test_who_was_given_places_lately_comes_later() -> None:
    own = Recorder()
    for number in range(3):
        own.load(f"x{number}", work(f"x{number}", 4, pinned=True), by="ann")
    own.demand("1", work("a"), by="ann")
    own.wait(1)
    own.demand("2", work("b"), by="bob")
    assert own.queue() == ["b", "a"]
    own.wait(URGENCY[Priority.INTERACTIVE].bound)
    own.demand("3", work("c"), by="ann")
    own.wait(1)
    own.demand("4", work("d"), by="bob")
    assert own.queue() == ["c", "d"]


def test_who_is_behind_takes_only_what_nobody_ahead_needs() -> None:
    own = Recorder()
    own.load("x", work("x", 5))
    own.use("x")
    own.demand("1", work("a", 9))
    assert own.placed(own.demand("2", work("b", 5))) == []
    assert own.placed(own.demand("3", work("c", 3))) == ["3"]
    assert own.placed(own.release("x")) == ["1"]


# ---- 6: room is made


def test_idle_leases_make_room_at_once_and_those_go_that_are_worth_least() -> None:
    own = Recorder()
    for name, begun in (("often", 50), ("seldom", 2)):
        own.load(name, work(name, 6))
        own.use(name, 1, begun)
        own.use(name, 0, begun)
    own.wait(60)
    said = own.demand("d", work("a", 6))
    assert own.one(said, Revoke).seconds == IDLE_SECONDS
    assert own.revoked(said) == ["seldom"]
    assert own.placed(own.release("seldom")) == ["d"]


def test_no_more_is_revoked_than_is_needed() -> None:
    own = Recorder()
    for name, gigabytes in (("small", 2.0), ("large", 10.0)):
        own.load(name, work(name, gigabytes))
    own.use("large", 0, begun=100)
    own.wait(60)
    assert own.revoked(own.demand("d", work("a", 9))) == ["large"]


def test_what_is_busy_stays_until_a_want_has_used_up_its_patience() -> None:
    own = Recorder()
    own.load("x", work("x", 9))
    own.use("x")
    assert own.revoked(own.demand("d", work("a", 9))) == []
    assert own.revoked(own.wait(PATIENCE - 0.1)) == []
    said = own.wait(0.2)
    assert own.one(said, Revoke).seconds == DRAIN_SECONDS
    assert own.rules(said) == ["6"]


def test_what_is_busy_is_not_revoked_where_idle_ones_suffice() -> None:
    own = Recorder()
    own.load("busy", work("busy", 6))
    own.use("busy")
    own.load("idle", work("idle", 6))
    own.use("idle", 0, begun=1000)
    own.wait(60)
    assert own.revoked(own.demand("d", work("a", 6))) == ["idle"]


def test_idle_ones_are_not_revoked_before_the_busy_one_that_must_go_too() -> None:
    own = Recorder()
    own.load("idle", work("idle", 6))
    own.load("busy", work("busy", 6))
    own.use("busy")
    own.wait(60)
    own.demand("d", work("a", 12))
    assert own.revoked(own.wait(PATIENCE / 2)) == []
    assert sorted(own.revoked(own.wait(PATIENCE))) == ["busy", "idle"]


def test_a_demand_on_its_way_keeps_its_lease() -> None:
    own = Recorder()
    own.demand("1", work("a", 9))
    own.ask("l", work("a", 9))
    own.say(Loaded("l"))
    own.wait(2)
    own.demand("2", work("b", 9))
    assert own.revoked(own.wait(0.5)) == []
    own.say(DemandEnded("1"))
    assert own.revoked(own.wait(SETTLE_SECONDS / 2)) == []
    assert own.revoked(own.use("l")) == []
    assert own.revoked(own.use("l", 0)) == ["l"]


@pytest.mark.parametrize("priority", [Priority.VOICE, Priority.INTERACTIVE, Priority.BATCH])
def test_preemptible_work_gives_way_at_once_to_any_higher_class(priority: Priority) -> None:
    own = Recorder()
    own.load("t", work("t", 12, preemptible=True), Priority.TRAINING)
    own.use("t")
    said = own.demand("d", work("a", 5), priority)
    assert own.one(said, Revoke).seconds == PREEMPT_SECONDS
    assert own.placed(own.release("t")) == ["d"]


def test_preemptible_work_does_not_give_way_at_once_to_its_own_class() -> None:
    own = Recorder()
    own.load("t", work("t", 12, preemptible=True), Priority.TRAINING)
    own.use("t")
    assert own.revoked(own.demand("d", work("u", 5, preemptible=True), Priority.TRAINING)) == []
    assert own.revoked(own.wait(URGENCY[Priority.TRAINING].patience)) == ["t"]


def test_a_load_is_not_interrupted_unless_it_is_preemptible() -> None:
    own = Recorder()
    own.ask("x", work("x", 9))
    assert own.revoked(own.demand("d", work("a", 9))) == []
    assert own.revoked(own.wait(20)) == []
    own.say(Loaded("x"))
    assert own.revoked(own.wait(RESIDENCY_SECONDS)) == ["x"]
    own = Recorder()
    own.ask("t", work("t", 9, preemptible=True), Priority.TRAINING)
    assert own.revoked(own.demand("d", work("a", 9))) == ["t"]


def test_a_load_that_never_ends_is_revoked_like_what_is_busy() -> None:
    own = Recorder()
    own.ask("x", work("x", 9))
    own.demand("d", work("a", 9))
    assert own.revoked(own.wait(301)) == ["x"]


def test_nothing_makes_room_for_another_of_its_own_name() -> None:
    own = Recorder()
    own.load("l1", work("a", 9))
    own.wait(60)
    assert own.one(own.ask("l2", work("a", 9)), Told).reason == "Another process of this work has the memory."
    assert own.revoked(own.wait(100)) == []


def test_a_want_that_ends_before_its_patience_revokes_nobody() -> None:
    own = Recorder()
    own.load("x", work("x", 9))
    own.use("x")
    own.demand("d", work("a", 9))
    own.say(DemandEnded("d"))
    assert own.revoked(own.wait(1000)) == []


# ---- 7: what stays


def test_what_was_loaded_stays_as_long_as_its_load_took() -> None:
    own = Recorder()
    own.ask("x", work("x", 9))
    own.wait(3)
    own.say(Loaded("x"))
    own.demand("d", work("a", 9))
    assert own.revoked(own.wait(2.9)) == []
    assert own.revoked(own.wait(0.2)) == ["x"]


def test_voice_does_not_wait_for_that() -> None:
    own = Recorder()
    own.ask("x", work("x", 9))
    own.wait(3)
    own.say(Loaded("x"))
    assert own.revoked(own.demand("d", work("a", 9), Priority.VOICE)) == ["x"]


def test_what_is_pinned_stays_and_what_is_unpinned_goes() -> None:
    own = Recorder()
    own.load("x", work("x", 9, pinned=True))
    own.load("y", work("y", 3))
    own.say(Pinned("y", pinned=True))
    own.wait(60)
    assert own.lease("x").pinned
    assert own.lease("y").pinned
    assert own.revoked(own.demand("d", work("a", 5))) == []
    assert own.revoked(own.say(Pinned("x", pinned=False))) == ["x"]


@pytest.mark.parametrize("priority", [Priority.BATCH, Priority.TRAINING])
def test_work_in_the_background_leaves_alone_what_a_person_used_just_now(priority: Priority) -> None:
    own = Recorder()
    own.load("x", work("x", 9))
    own.use("x")
    own.use("x", 0)
    own.demand("d", work("a", 9), priority)
    keeps = URGENCY[priority].keeps
    assert own.revoked(own.wait(keeps - 0.1)) == []
    assert own.revoked(own.wait(0.2)) == ["x"]


# ---- 8: holders that do not end


def test_a_revoked_holder_that_does_not_end_is_to_be_killed_and_again_until_it_has() -> None:
    own = Recorder()
    own.load("x", work("x", 9))
    own.wait(60)
    own.demand("d", work("a", 9))
    said = own.wait(IDLE_SECONDS)
    assert own.one(said, Overdue) == Overdue("x", "process of x")
    assert own.one(own.wait(OVERDUE_AGAIN_SECONDS), Overdue).lease == "x"
    assert own.placed(own.release("x")) == ["d"]
    assert own.only(own.wait(60), Overdue) == []


# ---- 9: freed memory


def test_freed_memory_is_placed_once_it_was_seen_to_be_free() -> None:
    own = Recorder()
    own.load("x", work("x", 9))
    own.use("x")
    own.demand("d", work("a", 9))
    assert own.placed(own.say(Released("x"))) == []
    assert own.scheduler.snapshot(own.now).devices[0].unverified == 9 * GB
    assert own.placed(own.say(Verified("x"))) == ["d"]


def test_memory_that_never_comes_back_is_taken_for_lost_and_the_device_decides() -> None:
    own = Recorder()
    own.load("x", work("x", 9))
    own.use("x")
    own.demand("d", work("a", 5))
    own.say(Released("x"))
    own.device("card", 16, others=9)
    said = own.wait(VERIFY_SECONDS)
    assert own.placed(said) == []
    assert "taken for lost" in own.one([one for one in said if isinstance(one, Decision)], Decision).reason
    assert own.placed(own.device("card", 16)) == ["d"]


def test_what_others_are_seen_to_use_because_a_process_is_still_ending_revokes_nobody() -> None:
    own = Recorder()
    own.load("x", work("x", 9))
    own.load("y", work("y", 3))
    own.say(Released("x"))
    own.device("card", 16, others=9)
    assert own.revoked(own.wait(OVER_SECONDS * 2)) == []


# ---- 10: out of memory


def test_after_running_out_of_memory_work_is_planned_larger() -> None:
    own = Recorder()
    own.ask("l1", work("a", 6))
    assert own.only(own.say(OutOfMemory("l1")), Decision)[0].what == "quarantined"
    own.say(Verified("l1"))
    assert own.one(own.ask("l2", work("a", 6)), Granted).shares == {"card": int(6 * GB * OUT_OF_MEMORY_GROWTH)}


def test_after_several_failures_it_is_refused_for_a_time_that_doubles() -> None:
    own = Recorder()
    for number in range(OUT_OF_MEMORY_LIMIT):
        own.ask(f"l{number}", work("a", 1))
        own.demand(f"d{number}", work("a", 1))
        own.say(OutOfMemory(f"l{number}"))
        own.say(Verified(f"l{number}"))
    refused = own.one(own.demand("d", work("a", 1)), Refused)
    assert (refused.reason, refused.retry_after) == ("QUARANTINED", QUARANTINE_SECONDS)
    own.wait(QUARANTINE_SECONDS)
    assert own.granted(own.ask("again", work("a", 1))) == ["again"]
    own.say(OutOfMemory("again"))
    assert own.one(own.ask("once more", work("a", 1)), Refused).retry_after == QUARANTINE_SECONDS * 2
    own.wait(QUARANTINE_SECONDS * 20)
    own.load("well", work("a", 1))
    assert own.lease("well").shares == {"card": GB}


def test_those_who_wait_for_what_is_quarantined_are_refused() -> None:
    own = Recorder()
    said: list[Effect] = []
    for number in range(OUT_OF_MEMORY_LIMIT):
        own.ask(f"l{number}", work("a", 3))
        if number == OUT_OF_MEMORY_LIMIT - 1:
            own.ask("waits", work("a", 9))
        said = own.say(OutOfMemory(f"l{number}"))
        own.say(Verified(f"l{number}"))
    assert own.one(said, Refused).waiting == "waits"


def test_a_load_that_succeeds_clears_the_record() -> None:
    own = Recorder()
    for number in range(OUT_OF_MEMORY_LIMIT * 2):
        lease = f"l{number}"
        own.ask(lease, work("a", 3))
        own.say(OutOfMemory(lease) if number % 2 else Loaded(lease))
        own.release(lease)
    assert own.only(own.said, Refused) == []


# ---- 11: claimed


def test_claimed_leases_are_adopted_even_above_the_cap_and_nothing_is_placed_until_it_fits() -> None:
    own = Recorder()
    own.say(Claimed("l1", "p1", work("a"), {"card": 8 * GB}))
    own.use("l1")
    own.say(Claimed("l2", "p2", work("b"), {"card": 8 * GB}))
    own.use("l2")
    assert own.states() == {"l1": "busy", "l2": "busy"}
    assert own.placed(own.demand("d", work("c", 1))) == []
    assert own.placed(own.release("l1")) == ["d"]


def test_claiming_again_is_harmless() -> None:
    own = Recorder()
    own.say(Claimed("l", "p", work("a"), {"card": 5 * GB}, loaded=False))
    own.use("l")
    own.say(Claimed("l", "p2", work("a"), {"card": 5 * GB}))
    view = own.lease("l")
    assert (view.holder, view.state, view.shares) == ("p2", "busy", {"card": 5 * GB})


def test_a_claim_serves_those_who_wait_for_its_name() -> None:
    own = blocked()
    own.demand("d", work("a"))
    assert own.placed(own.say(Claimed("l", "p", work("a"), {"card": 5 * GB}))) == ["d"]


def test_claimed_preemptible_work_still_gives_way() -> None:
    own = Recorder()
    own.say(Claimed("t", "p", work("t", preemptible=True), {"card": 12 * GB}))
    own.use("t")
    assert own.revoked(own.demand("d", work("a"), Priority.BATCH)) == ["t"]


# ---- 12: what was measured


def test_what_was_measured_is_charged_remembered_and_preferred() -> None:
    own = Recorder()
    own.ask("l", work("a", 5, key="digest"))
    assert own.one(own.say(Loaded("l", {"card": 7 * GB})), Measured) == Measured("digest", Kind.FIXED, 7 * GB)
    assert own.placed(own.demand("d", work("b", 6))) == []
    own.say(DemandEnded("d"))
    own.release("l")
    assert own.one(own.ask("m", work("a", 5, key="digest")), Granted).shares == {"card": 7 * GB}
    assert own.only(own.say(Loaded("m", {"card": 7 * GB})), Measured) == []


def test_what_was_remembered_before_is_preferred_too() -> None:
    own = Recorder(remembered={"digest": {Kind.FIXED: 3 * GB}})
    assert own.one(own.ask("l", work("a", 9, key="digest")), Granted).shares == {"card": 3 * GB}


def test_memory_that_a_measurement_shows_to_be_free_is_placed() -> None:
    own = Recorder()
    own.ask("l", work("a", 9))
    own.demand("d", work("b", 5))
    assert own.placed(own.say(Loaded("l", {"card": 6 * GB}))) == ["d"]


# ---- 13: growing


def test_growing_is_all_or_nothing() -> None:
    own = Recorder()
    own.device("other", 16)
    own.load("l", work("a", 5, devices=["card"]))
    assert own.one(own.say(GrowAsked("l", {"card": 2 * GB, "other": 20 * GB})), Grown) == Grown("l", allowed=False)
    assert own.lease("l").shares == {"card": 5 * GB}
    assert own.one(own.say(GrowAsked("l", {"card": 2 * GB, "other": GB})), Grown) == Grown("l", allowed=True)
    assert own.lease("l").shares == {"card": 7 * GB, "other": GB}
    assert own.one(own.say(GrowAsked("l", {"nowhere": 1})), Grown).allowed is False
    assert own.one(own.say(GrowAsked("l", {"card": -1})), Grown).allowed is False


def test_a_revoked_lease_does_not_grow() -> None:
    own = Recorder()
    own.load("l", work("a", 9))
    own.wait(60)
    own.demand("d", work("b", 9))
    assert own.one(own.say(GrowAsked("l", {"card": 1})), Grown).allowed is False


# ---- 14: what others and pins keep away


def test_what_only_others_keep_from_its_place_is_refused_when_its_bound_is_over() -> None:
    own = Recorder()
    own.device("card", 16, others=10)
    own.demand("d", work("a", 9))
    bound = URGENCY[Priority.INTERACTIVE].bound
    assert own.only(own.wait(bound - 1), Refused) == []
    refused = own.one(own.wait(1), Refused)
    assert (refused.reason, refused.available) == ("INSUFFICIENT_MEMORY", int(2.8 * GB))
    assert refused.retry_after is not None


def test_what_a_pin_keeps_from_its_place_is_refused_with_the_pins_name() -> None:
    own = blocked()
    waits = own.one(own.demand("d", work("a")), Told)
    assert waits.reason.startswith("x is pinned and has the memory, or others use it; `troupe models unpin NAME`")
    refused = own.one(own.wait(URGENCY[Priority.INTERACTIVE].bound), Refused)
    assert "what is pinned (x) leave 762.9 MiB; `troupe models unpin NAME` lets one go" in refused.message


def test_what_merely_waits_its_turn_is_never_refused() -> None:
    own = Recorder()
    own.load("x", work("x", 9))
    own.use("x")
    own.demand("d", work("a", 9))
    assert own.only(own.wait(10_000), Refused) == []
    assert own.placed(own.release("x")) == ["d"]


# ---- placement over several devices


def cards(*totals: float) -> Recorder:
    own = Recorder(total=None)
    for number, total in enumerate(totals):
        own.device(f"gpu{number}", total, Kind.NVIDIA)
    own.device("system", 64, Kind.SYSTEM)
    return own


def test_every_kind_gives_its_share() -> None:
    own = cards(16)
    both = work("a", variants=[Variant({Kind.NVIDIA: 5 * GB, Kind.SYSTEM: GB})])
    assert own.one(own.demand("d", both), Placed).shares == {"gpu0": 5 * GB, "system": GB}


def test_it_lies_where_it_fits_tightest() -> None:
    own = cards(24, 16)
    assert set(own.one(own.demand("d", work("a", 9)), Placed).shares) == {"gpu1"}


def test_named_devices_are_tried_in_their_order_and_no_others() -> None:
    own = cards(16, 24, 16)
    named = ["gpu2", "gpu1"]
    assert set(own.one(own.demand("1", work("a", 9, devices=named)), Placed).shares) == {"gpu2"}
    assert set(own.one(own.demand("2", work("b", 9, devices=named)), Placed).shares) == {"gpu1"}
    own.demand("3", work("c", 11, devices=named))
    assert own.queue() == ["c"]


def test_what_may_be_spread_lies_on_few_devices_in_equal_parts() -> None:
    own = cards(16, 16, 16)
    wide = work("a", variants=[Variant({Kind.NVIDIA: 20 * GB, Kind.SYSTEM: GB}, spread=True)])
    assert own.one(own.demand("1", wide), Placed).shares == {"gpu0": 10 * GB, "gpu1": 10 * GB, "system": GB}
    wider = work("b", variants=[Variant({Kind.NVIDIA: 39 * GB}, spread=True)])
    assert own.one(own.demand("2", wider), Refused).reason == "INSUFFICIENT_MEMORY"


def test_room_for_spread_work_is_made_on_each_of_its_devices() -> None:
    own = cards(16, 16)
    for number in range(2):
        own.load(f"l{number}", work(f"w{number}", 9, devices=[f"gpu{number}"]))
    own.wait(60)
    wide = work("a", variants=[Variant({Kind.NVIDIA: 20 * GB}, spread=True)])
    assert sorted(own.revoked(own.demand("d", wide))) == ["l0", "l1"]
    own.release("l0")
    assert own.placed(own.release("l1")) == ["d"]


def test_only_leases_on_devices_that_matter_make_room() -> None:
    own = cards(16, 16)
    own.load("l0", work("w0", 9, devices=["gpu0"]))
    own.load("l1", work("w1", 9, devices=["gpu1"]))
    own.use("l1", 0, begun=100)
    own.wait(60)
    assert own.revoked(own.demand("d", work("a", 9, devices=["gpu1"]))) == ["l1"]


# ---- time, views and words


def test_a_clock_that_goes_back_stands_still() -> None:
    own = Recorder()
    own.load("x", work("x", 9))
    own.wait(60)
    own.now = 0
    assert own.revoked(own.demand("d", work("a", 9))) == ["x"]


def test_nothing_is_due_where_nothing_waits() -> None:
    own = Recorder()
    assert own.scheduler.next_due(own.now) is None
    own.load("x", work("x", 9))
    assert own.scheduler.next_due(own.now) is None


def test_a_snapshot_shows_devices_leases_and_who_waits() -> None:
    own = Recorder()
    own.device("card", 16, others=1)
    own.load("x", work("x", 9))
    own.use("x", 2)
    own.demand("1", work("a", 9))
    own.demand("2", work("a", 9), Priority.BATCH)
    seen = own.scheduler.snapshot(own.now)
    device, lease, wish = seen.devices[0], seen.leases[0], seen.wishes[0]
    assert (device.cap, device.leased, device.others, device.unverified) == (int(12.8 * GB), 9 * GB, GB, 0)
    assert (lease.lease, lease.state, lease.running, lease.holder) == ("x", "busy", 2, "process of x")
    assert (wish.name, wish.position, wish.waiting, wish.priority) == ("a", 1, 2, Priority.INTERACTIVE)
    assert seen.waiting() == {
        Priority.VOICE: 0, Priority.INTERACTIVE: 2, Priority.BATCH: 0, Priority.TRAINING: 0
    }  # fmt: skip


def test_a_revoked_lease_shows_until_when() -> None:
    own = Recorder()
    own.load("x", work("x", 9))
    own.wait(60)
    own.demand("d", work("a", 9))
    assert own.lease("x").deadline == own.now + IDLE_SECONDS


def test_an_eta_follows_how_long_loads_and_drains_have_taken() -> None:
    own = Recorder()
    own.ask("x", work("x", 9))
    own.wait(7)
    own.say(Loaded("x"))
    own.release("x")
    own.load("y", work("y", 9))
    own.wait(60)
    eta = own.one(own.demand("d", work("x", 9)), Told).eta
    assert eta is not None
    assert 7 <= eta <= 9


def test_the_start_of_a_process_belongs_to_what_is_waited_for_also_of_what_was_never_loaded() -> None:
    own = Recorder()
    own.demand("d", work("x", 9))
    own.wait(4)
    own.ask("x", work("x", 9))
    own.wait(2)
    own.say(Loaded("x"))
    own.say(DemandEnded("d"))
    own.wait(60)
    eta = own.one(own.demand("e", work("y", 9)), Told).eta
    assert eta is not None
    # A load is expected to take 1 s; of the 6 s that x took from its place on, 5 are what any process takes.
    assert 6 <= eta <= 8


def test_an_eta_follows_how_long_idle_ones_take_to_end() -> None:
    own = Recorder()
    own.load("x", work("x", 9))
    own.wait(60)
    own.demand("d", work("y", 9))
    own.wait(4)
    own.release("x")
    own.load("y", work("y", 9))
    own.say(DemandEnded("d"))
    own.wait(60)
    eta = own.one(own.demand("e", work("z", 9)), Told).eta
    assert eta is not None
    assert eta >= 4 + 1
