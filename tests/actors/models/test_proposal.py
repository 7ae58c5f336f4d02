"""What is proposed from figures: each rule of actors/models/proposal.py by its number."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from actors.models.proposal import NEARLY, READING, WAIT_SECONDS, propose, speed, taken
from bus.context import duration
from troupe.model.v1 import Figures, Proposal

GB = 10**9


def figures(
    context: int = 2048, slots: int = 1, each: float = 50.0, total: float = 0.0, memory: int = GB, **said: Any
) -> Figures:
    found = Figures(
        model=said.pop("model", "llama/a"),
        context_tokens=context,
        slots=slots,
        tokens_per_second=each,
        total_tokens_per_second=total or each,
        host_bytes=memory,
    )
    found.first_token_busy.CopyFrom(duration(said.pop("wait", 0.5)))
    for name, value in said.items():
        setattr(found, name, value)
    return found


def proposed(*found: Figures, room: int = 0) -> Proposal:
    proposal = propose(found, room)
    assert proposal is not None and proposal.reasons
    return proposal


def test_1_what_does_not_fit_or_could_not_be_measured_is_left_out() -> None:
    found = [figures(2048, memory=2 * GB), figures(8192, memory=9 * GB), figures(16384, error="It does not fit.")]
    proposal = proposed(*found, room=8 * GB)
    assert proposal.context_tokens == 2048
    assert proposal.reasons[0] == "1 of 2 take more than the 8.00 GB there are."
    assert propose(found, room=GB) is None
    assert propose([]) is None and propose(found[2:]) is None


def test_2_of_several_quantizations_the_fullest_that_one_can_read_along_with_else_the_fastest() -> None:
    small = figures(model="llama/q4", each=30.0, memory=4 * GB, quantization="Q4_K_M")
    large = figures(model="llama/q8", each=15.0, memory=8 * GB, quantization="Q8_0")
    assert proposed(small, large).model == "llama/q8"
    assert "Q8_0: of those that give 10 tokens in a second or more" in proposed(small, large).reasons[0]
    large.tokens_per_second = READING - 1
    assert proposed(small, large).model == "llama/q4"
    small.tokens_per_second = READING - 5
    assert proposed(small, large).model == "llama/q8"
    assert "the fastest" in proposed(small, large).reasons[0]


def test_3_the_fewest_slots_that_give_nearly_all_there_is_to_have() -> None:
    found = [figures(slots=1, total=50), figures(slots=4, total=150), figures(slots=8, total=160)]
    proposal = proposed(*found)
    assert proposal.slots == 4
    assert (
        "4 calls at a time: together they get 150 tokens in a second, and 8 calls no more than 160." in proposal.reasons
    )


def test_3_nobody_waits_long_for_the_first_word_where_that_can_be() -> None:
    found = [figures(slots=1, total=50), figures(slots=8, total=400, wait=WAIT_SECONDS + 1)]
    proposal = proposed(*found)
    assert proposal.slots == 1
    assert any("with others a person would wait longer" in reason for reason in proposal.reasons)
    slow = [figures(slots=number, total=50.0 * number, wait=9) for number in (1, 2)]
    assert proposed(*slow).slots == 2
    assert any("takes longer than 2 s with any number" in reason for reason in proposed(*slow).reasons)


def test_4_the_longest_context_that_costs_little_speed() -> None:
    found = [figures(1024, each=50), figures(4096, each=45, memory=2 * GB), figures(8192, each=20)]
    proposal = proposed(*found)
    assert proposal.context_tokens == 4096
    assert "4,096 tokens of context: with 8,192 a call loses 60% of its speed." in proposal.reasons
    proposal = proposed(*found[:2])
    assert "the longest that was measured, for 1.00 GB more than with 1,024." in " ".join(proposal.reasons)


def test_a_model_that_embeds_is_proposed_by_what_it_reads() -> None:
    found = figures(512, slots=8, each=0.0, prompt_tokens_per_second=900.0)
    found.total_tokens_per_second = 0.0
    assert (proposed(found).context_tokens, proposed(found).slots) == (512, 8)
    assert "It takes 1.00 GB so." in proposed(found).reasons


def test_what_was_disturbed_is_said() -> None:
    assert "Others answered meanwhile: it may be faster than that." in proposed(figures(disturbed=True)).reasons


@given(
    st.lists(
        st.builds(
            figures,
            context=st.sampled_from([1024, 2048, 8192]),
            slots=st.sampled_from([1, 4, 8]),
            each=st.floats(0, 100),
            total=st.floats(0, 400),
            memory=st.integers(1, 9 * GB),
            model=st.sampled_from(["llama/a", "llama/b"]),
            wait=st.floats(0, 5),
            error=st.sampled_from(["", "", "no"]),
        ),
        max_size=12,
    ),
    st.integers(0, 9 * GB),
)
def test_what_is_proposed_was_measured_and_fits(found: list[Figures], room: int) -> None:
    proposal = propose(found, room)
    usable = [each for each in found if not each.error and speed(each) > 0 and (not room or taken(each) <= room)]
    assert (proposal is None) == (not usable)
    if proposal is not None:
        key = (proposal.model, proposal.context_tokens, proposal.slots)
        assert key in [(each.model, each.context_tokens, each.slots) for each in usable]
        assert 1 <= len(proposal.reasons) <= 8
        assert 0 < NEARLY < 1
