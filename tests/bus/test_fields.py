"""Messages that are told apart without knowing their type."""

from hypothesis import given
from hypothesis import strategies as st

from bus.fields import only_progress, progress_message
from troupe.echo.v1 import RepeatResponse
from troupe.rpc.v1 import Progress


@given(st.text(max_size=400), st.integers(0, 2**32 - 1))
def test_progress_alone_is_told_from_an_answer(note: str, position: int) -> None:
    progress = Progress(state=Progress.STATE_QUEUED, position=position, note=note)
    alone = RepeatResponse(progress=progress).SerializeToString()
    assert alone == progress_message(progress.SerializeToString())
    assert only_progress(alone)
    assert not only_progress(RepeatResponse(text="x", progress=progress).SerializeToString())
    assert not only_progress(RepeatResponse(text=note or "x").SerializeToString())


@given(st.binary(max_size=300), st.integers(0, 300))
def test_what_is_cut_off_or_goes_on_is_no_progress_alone(body: bytes, cut: int) -> None:
    whole = progress_message(body)
    assert only_progress(whole)
    assert not only_progress(whole + b"\x00")
    assert not only_progress(whole[: min(cut, len(whole) - 1)])
