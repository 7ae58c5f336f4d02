"""What an OPEN must be before a call is made of it."""

from bus import errors
from bus.errors import Code, RpcError
from bus.protocol import MAX_NUMBER, PROTOCOL_VERSION
from bus.service import Metadata, check_call_id, check_metadata
from bus.stream import MAX_FRAME
from troupe.rpc.v1 import Frame


def check_opening(frame: Frame, size: int) -> Metadata:
    """Everything that the contract says of an OPEN, except that its method exists.

    size: bytes of the serialised frame. Gives back its metadata, which a dict holds cheaper than protobuf. Raises
    INVALID_ARGUMENT (MALFORMED_FRAME), RESOURCE_EXHAUSTED (MESSAGE_TOO_LARGE), FAILED_PRECONDITION (VERSION_MISMATCH),
    DEADLINE_EXCEEDED.
    """
    if not frame.HasField("open"):
        raise errors.invalid("A call begins with OPEN.", reason="MALFORMED_FRAME")
    if frame.open.protocol_version != PROTOCOL_VERSION:
        raise version_mismatch(frame.open.protocol_version)
    if size > MAX_FRAME:
        raise frame_too_large(size)
    check_call_id(frame.call_id)
    carried = frame.open.metadata
    metadata = {key: carried[key] for key in carried}
    check_metadata(metadata)
    if frame.open.resume_key and not 16 <= len(frame.open.resume_key) <= 64:
        raise errors.invalid("A resume key has 16 to 64 bytes.", "resume_key", reason="MALFORMED_FRAME")
    if frame.open.preceding >= MAX_NUMBER:
        raise errors.invalid("No call has that many payloads before it.", "preceding", reason="MALFORMED_FRAME")
    if frame.open.HasField("timeout") and frame.open.timeout.ToNanoseconds() <= 0:
        raise errors.deadline_exceeded()
    return metadata


def frame_too_large(size: int) -> RpcError:
    """A frame is above MAX_FRAME."""
    return RpcError(
        Code.RESOURCE_EXHAUSTED,
        f"A frame of {size:,} bytes is over the limit of {MAX_FRAME:,}; send large messages in pieces.",
        reason="MESSAGE_TOO_LARGE",
        metadata={"size": str(size), "limit": str(MAX_FRAME)},
    )


def version_mismatch(version: int) -> RpcError:
    """The caller speaks another version of the wire."""
    newer = "newer" if version > PROTOCOL_VERSION else "older"
    return RpcError(
        Code.FAILED_PRECONDITION,
        f"The caller speaks version {version} of Troupe's wire, {newer} than the {PROTOCOL_VERSION} spoken here; "
        f"update the {'hub' if newer == 'newer' else 'caller'}.",
        reason="VERSION_MISMATCH",
        metadata={"spoken": str(PROTOCOL_VERSION), "asked": str(version)},
    )
