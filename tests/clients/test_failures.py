import grpc
import pytest

from bus import Code, RpcError
from troupe_client import ConnectionLost
from troupe_client.failures import STATUS_DETAILS, rpc_error


def failure(code: grpc.StatusCode, details: str = "", status: bytes | None = None) -> grpc.aio.AioRpcError:
    trailers = grpc.aio.Metadata(*([] if status is None else [(STATUS_DETAILS, status)]))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailers, details=details, debug_error_string="")


def test_the_hubs_own_error_arrives_whole() -> None:
    sent = RpcError(
        Code.RESOURCE_EXHAUSTED,
        "Đầy rồi.",
        reason="QUEUE_FULL",
        metadata={"limit": "8"},
        retry_after=1.5,
        field="model",
    )
    got = rpc_error(failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "x", sent.to_status().SerializeToString()))
    assert not isinstance(got, ConnectionLost)
    assert (got.code, got.message, got.reason, got.metadata) == (sent.code, sent.message, sent.reason, sent.metadata)
    assert (got.retry_after, got.field, got.reference) == (1.5, "model", sent.reference)


def test_unavailable_by_the_hubs_word_is_no_lost_connection() -> None:
    sent = RpcError(Code.UNAVAILABLE, "The process has ended.", reason="PEER_LOST")
    got = rpc_error(failure(grpc.StatusCode.UNAVAILABLE, "x", sent.to_status().SerializeToString()))
    assert not isinstance(got, ConnectionLost)


@pytest.mark.parametrize(
    ("code", "details"),
    [
        (grpc.StatusCode.UNAVAILABLE, "Socket closed"),
        (grpc.StatusCode.UNAVAILABLE, ""),
        (grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2"),
        (grpc.StatusCode.CANCELLED, "Received RST_STREAM with error code 8"),
        (grpc.StatusCode.UNKNOWN, "Stream removed"),
        (grpc.StatusCode.INTERNAL, "Internal error from Core"),
    ],
)
def test_a_stream_that_ends_without_a_word_of_the_hub_is_a_lost_connection(code: grpc.StatusCode, details: str) -> None:
    got = rpc_error(failure(code, details))
    assert isinstance(got, ConnectionLost)
    assert got.code is Code.UNAVAILABLE


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.DEADLINE_EXCEEDED, Code.DEADLINE_EXCEEDED),
        (grpc.StatusCode.CANCELLED, Code.CANCELLED),
        (grpc.StatusCode.UNKNOWN, Code.UNKNOWN),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Code.RESOURCE_EXHAUSTED),
    ],
)
def test_other_errors_without_details_keep_their_code(code: grpc.StatusCode, expected: Code) -> None:
    got = rpc_error(failure(code, "why"))
    assert not isinstance(got, ConnectionLost)
    assert (got.code, got.reason) == (expected, expected.name)


def test_details_that_cannot_be_read_are_left_out() -> None:
    assert rpc_error(failure(grpc.StatusCode.NOT_FOUND, "gone", b"\xff\xff")).message == "gone"
