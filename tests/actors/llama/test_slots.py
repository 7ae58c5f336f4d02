"""Slots: what is placed fits, what is shared is counted once, and reuse gives back exactly the beginning asked for."""

from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.llama.slots import Placement, Slot, SlotTable, common_prefix

CAPACITY = 64
SLOTS = 4


def tokens(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


class Cells:
    """The cache as llama.cpp keeps it: each cell belongs to a set of sequences."""

    def __init__(self) -> None:
        self.cells: list[tuple[int, int, set[int]]] = []

    def cut(self, sequence: int, kept: int) -> None:
        for position, _, owners in self.cells:
            if position >= kept:
                owners.discard(sequence)
        self.cells = [cell for cell in self.cells if cell[2]]

    def copy(self, source: int, target: int, count: int) -> None:
        for position, _, owners in self.cells:
            if source in owners and position < count:
                owners.add(target)

    def add(self, sequence: int, position: int, token: int) -> None:
        self.cells.append((position, token, {sequence}))

    def content(self, sequence: int) -> list[int]:
        mine = sorted((position, token) for position, token, owners in self.cells if sequence in owners)
        assert [position for position, _ in mine] == list(range(len(mine)))
        return [token for _, token in mine]


class Engine:
    """Carries out what the table decides, as the engine does."""

    def __init__(self, *, reuse: bool = True, parted: bool = False) -> None:
        self.cells = Cells()
        self.forgotten: list[int] = []
        self.capacity = CAPACITY * SLOTS if parted else CAPACITY
        self.table = SlotTable(SLOTS, self.capacity, self.forget, reuse=reuse, parted=parted)
        self.lengths: dict[int, int] = {}

    def forget(self, slot: Slot) -> None:
        self.forgotten.append(slot.index)
        self.cells.cut(slot.index, 0)

    def place(self, prompt: np.ndarray, adapter: str, reserve: int) -> Placement | None:
        buffer = np.resize(prompt, max(reserve, len(prompt)))
        placement = self.table.place(buffer[: len(prompt)], adapter, reserve)
        if placement is None:
            return None
        if placement.moved is not None:
            self.cells.cut(placement.moved.index, 0)
            self.cells.copy(placement.slot.index, placement.moved.index, placement.moved.cached)
        self.cells.cut(placement.slot.index, placement.kept)
        if placement.source is not None:
            self.cells.copy(placement.source.index, placement.slot.index, placement.reused)
        placement.slot.tokens = buffer
        self.lengths[placement.slot.index] = len(prompt)
        return placement

    def compute(self, slot: Slot, count: int) -> None:
        for position in range(slot.cached, min(slot.cached + count, slot.reserved)):
            self.cells.add(slot.index, position, int(slot.tokens[position]))
            slot.cached += 1

    def check(self) -> None:
        assert len(self.cells.cells) <= self.table.held <= self.capacity
        for slot in self.table.slots:
            assert self.cells.content(slot.index) == list(slot.tokens[: slot.cached])
            assert slot.cached <= slot.reserved or not slot.busy
            assert 0 <= slot.shared <= slot.cached


prompts = st.lists(st.integers(0, 1), min_size=1, max_size=24)
actions = st.lists(
    st.one_of(
        st.tuples(st.just("place"), prompts, st.sampled_from(["", "a"]), st.integers(1, 40)),
        st.tuples(st.just("compute"), st.integers(0, SLOTS - 1), st.integers(1, 30)),
        st.tuples(st.just("release"), st.integers(0, SLOTS - 1)),
        st.tuples(st.just("grow"), st.integers(0, SLOTS - 1), st.integers(1, 20)),
    ),
    max_size=40,
)


@settings(max_examples=400, deadline=None)
@given(actions, st.booleans())
def test_what_is_held_never_exceeds_the_capacity_whatever_comes_and_goes(
    steps: list[tuple[Any, ...]], parted: bool
) -> None:
    engine = Engine(parted=parted)
    with mock.patch("actors.llama.slots.LENT_AT_LEAST", 3):
        for action, *arguments in steps:
            if action == "place":
                prompt, adapter, extra = arguments
                engine.place(tokens(*prompt), adapter, min(len(prompt) + extra, CAPACITY))
            else:
                act(engine, action, *arguments)
            engine.check()


def act(engine: Engine, action: str, index: int, amount: int = 0) -> None:
    slot = engine.table.slots[index]
    if not slot.busy:
        return
    if action == "compute":
        engine.compute(slot, amount)
    elif action == "release":
        engine.table.release(slot)
    else:
        engine.table.grow(slot, min(slot.reserved + amount, CAPACITY))
        slot.tokens = np.resize(slot.tokens, max(slot.reserved, len(slot.tokens)))


@settings(max_examples=200, deadline=None)
@given(st.lists(prompts, min_size=1, max_size=12), st.booleans())
def test_a_reused_beginning_is_the_beginning_of_the_prompt(sequence: list[list[int]], parted: bool) -> None:
    engine = Engine(parted=parted)
    for prompt in sequence:
        placement = engine.place(tokens(*prompt), "", len(prompt) + 1)
        assert placement is not None
        assert engine.cells.content(placement.slot.index) == prompt[: placement.reused]
        engine.compute(placement.slot, len(prompt))
        engine.table.release(placement.slot)


def test_an_empty_table_takes_anything_that_fits_and_nothing_more() -> None:
    assert Engine().place(tokens(1), "", CAPACITY) is not None
    assert Engine().place(tokens(1), "", CAPACITY + 1) is None


def test_the_same_conversation_goes_on_in_its_slot() -> None:
    engine = Engine()
    first = engine.place(tokens(1, 2, 3, 4), "", 8)
    assert first is not None
    engine.compute(first.slot, 4)
    engine.table.release(first.slot)
    second = engine.place(tokens(1, 2, 3, 4, 5, 6), "", 10)
    assert second is not None
    assert (second.slot, second.reused, second.source) == (first.slot, 4, None)


def test_a_busy_slot_lends_its_beginning() -> None:
    engine = Engine()
    first = engine.place(tokens(1, 2, 3, 4), "", 8)
    assert first is not None
    engine.compute(first.slot, 4)
    second = engine.place(tokens(1, 2, 3, 9), "", 8)
    assert second is not None
    assert (second.source, second.reused) == (first.slot, 3)
    assert engine.table.held == 8 + 8 - 3


def test_the_last_token_of_a_prompt_is_always_computed() -> None:
    engine = Engine()
    first = engine.place(tokens(1, 2, 3), "", 4)
    assert first is not None
    engine.compute(first.slot, 3)
    second = engine.place(tokens(1, 2, 3), "", 4)
    assert second is not None
    assert second.reused == 2


def test_a_short_beginning_is_not_taken_over_from_another_part() -> None:
    engine = Engine(parted=True)
    long = np.arange(100, 150, dtype=np.int32)
    first = engine.place(long, "", 60)
    assert first is not None
    engine.compute(first.slot, 50)
    short = long.copy()
    short[20:] = 1
    second = engine.place(short, "", 60)
    assert second is not None
    assert (second.source, second.reused) == (None, 0)
    third = engine.place(long, "", 60)
    assert third is not None
    assert (third.source, third.reused, third.slot.shared) == (first.slot, 49, 0)


def test_in_parts_new_sequences_take_the_first_idle_slots_and_what_those_hold_moves() -> None:
    engine = Engine(parted=True)
    placed = [engine.place(tokens(number, number), "", 8) for number in range(SLOTS)]
    for placement in reversed(placed):
        assert placement is not None
        engine.compute(placement.slot, 2)
        engine.table.release(placement.slot)
    # The last slot is the one that was unused for longest: it is given up, and takes over what the first one holds.
    new = engine.place(tokens(9, 9), "", 8)
    assert new is not None
    assert (new.slot.index, new.moved) == (0, engine.table.slots[-1])
    engine.check()
    again = engine.place(tokens(0, 0, 5), "", 8)
    assert again is not None
    assert (again.slot.index, again.reused, again.moved) == (SLOTS - 1, 2, None)


def test_nothing_is_reused_under_another_adapter() -> None:
    engine = Engine()
    first = engine.place(tokens(1, 2, 3), "", 4)
    assert first is not None
    engine.compute(first.slot, 3)
    second = engine.place(tokens(1, 2, 3), "other", 4)
    assert second is not None
    assert second.reused == 0


def test_nothing_is_reused_where_memory_cannot_be_cut() -> None:
    engine = Engine(reuse=False)
    first = engine.place(tokens(1, 2, 3), "", 4)
    assert first is not None
    engine.compute(first.slot, 3)
    engine.table.release(first.slot)
    second = engine.place(tokens(1, 2, 3), "", 4)
    assert second is not None
    assert second.reused == 0


def test_the_slot_unused_for_longest_makes_room() -> None:
    engine = Engine()
    placed = [engine.place(tokens(number, number), "", 20) for number in range(3)]
    for placement in placed:
        assert placement is not None
        engine.compute(placement.slot, 20)
        engine.table.release(placement.slot)
    fourth = engine.place(tokens(9), "", 20)
    assert fourth is not None and placed[0] is not None
    assert engine.forgotten == [placed[0].slot.index]


def test_no_slot_is_given_twice() -> None:
    engine = Engine()
    assert all(engine.place(tokens(number), "", 2) for number in range(SLOTS))
    assert engine.place(tokens(9), "", 2) is None


@given(prompts, prompts)
def test_common_prefix_counts_as_a_plain_loop_does(left: list[int], right: list[int]) -> None:
    plain: Callable[[], int] = lambda: next(  # noqa: E731
        (place for place, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right))
    )
    assert common_prefix(tokens(*left), tokens(*right)) == plain()
