"""The one error of every hop."""

import pytest
from google.protobuf.any_pb2 import Any
from google.rpc import code_pb2
from hypothesis import given
from hypothesis import strategies as st

from bus import Code, RpcError, invalid, nearest
from bus.errors import peer_lost
from troupe.rpc.v1 import Status

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(
    code=st.sampled_from([code for code in Code if code is not Code.OK]),
    message=TEXT,
    reason=TEXT,
    metadata=st.dictionaries(TEXT, TEXT, max_size=4),
    retry_after=st.none() | st.floats(0, 86400),
    field=TEXT,
    reference=st.text("abc123", min_size=1),
)
def test_an_error_arrives_as_it_was_sent(
    code: Code,
    message: str,
    reason: str,
    metadata: dict[str, str],
    retry_after: float | None,
    field: str,
    reference: str,
) -> None:
    sent = RpcError(
        code, message, reason=reason, metadata=metadata, retry_after=retry_after, field=field, reference=reference
    )
    got = RpcError.from_status(Status.FromString(sent.to_status().SerializeToString()))
    assert (got.code, got.message, got.reason) == (code, message, reason or code.name)
    assert (got.metadata, got.field, got.reference) == (metadata, field, reference)
    if retry_after is None:
        assert got.retry_after is None
    else:
        assert got.retry_after == pytest.approx(retry_after, abs=1e-6)


def test_codes_are_those_of_grpc() -> None:
    assert {code.name: int(code) for code in Code} == dict(code_pb2.Code.items())


@pytest.mark.parametrize("code", [17, 99, -1])
def test_a_code_of_a_later_version_is_unknown(code: int) -> None:
    assert RpcError.from_status(Status(code=code, message="x")).code is Code.UNKNOWN


def test_details_of_unknown_types_are_left_out() -> None:
    status = RpcError(Code.NOT_FOUND, "x", reason="R").to_status()
    status.details.insert(0, Any(type_url="type.googleapis.com/some.Other", value=b"\xff"))
    assert RpcError.from_status(status).reason == "R"


def test_an_error_without_details_has_its_code_as_reason_and_a_reference_of_its_own() -> None:
    one, two = (RpcError.from_status(Status(code=5, message="x")) for _ in range(2))
    assert one.reason == "NOT_FOUND"
    assert one.reference != two.reference


def test_metadata_that_is_no_text_becomes_text() -> None:
    assert RpcError(Code.INTERNAL, "x", metadata={"n": 3}).metadata == {"n": "3"}  # type: ignore[dict-item]  # the case


def test_an_error_says_code_reason_and_sentence() -> None:
    assert str(invalid("No such thing.", "field")) == "INVALID_ARGUMENT (INVALID_ARGUMENT): No such thing."
    assert peer_lost("", "has ended").retry_after == 1.0


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Generat", ["Generate"]), ("GENERATE", ["Generate"]), ("zzzz", []), ("", [])],
)
def test_the_nearest_names_come_first(name: str, expected: list[str]) -> None:
    assert nearest(name, ["Generate", "CountTokens", "Embed"]) == expected


def test_at_most_the_asked_number_of_names_is_offered() -> None:
    assert nearest("model", [f"model{number}" for number in range(10)], limit=3) == nearest(
        "model", [f"model{number}" for number in range(10)]
    )
    assert len(nearest("model", [f"model{number}" for number in range(10)])) == 3


@pytest.mark.parametrize(
    ("name", "expected"),
    [("nope", []), ("troupe-tini", ["troupe-tiny"]), ("tiny", ["troupe-tiny"]), ("e5", ["e5-small"]), ("", [])],
)
def test_a_name_that_resembles_nothing_gets_no_advice(name: str, expected: list[str]) -> None:
    assert nearest(name, ["troupe-tiny", "smollm2-135m", "e5-small"]) == expected
