"""The few bytes of messages that the bus writes and reads without knowing their type."""

PROGRESS_FIELD = 15
"""Where every streamed response has its Progress."""

_LENGTH_DELIMITED = 2


def varint(value: int) -> bytes:
    """A number, 0 or more, as protobuf writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def tag(field: int) -> bytes:
    """What stands before a field that holds bytes, a text or a message; its length follows."""
    return varint(field << 3 | _LENGTH_DELIMITED)


_PROGRESS_TAG = tag(PROGRESS_FIELD)


def progress_message(progress: bytes) -> bytes:
    """A response of any streaming method that holds nothing but this serialised Progress."""
    return _PROGRESS_TAG + varint(len(progress)) + progress


def only_progress(message: bytes) -> bool:
    """Whether a streamed response tells Progress and nothing else. Fields are written in the order of their numbers."""
    if not message or message[0] != _PROGRESS_TAG[0]:
        return False
    size = shift = 0
    for place in range(1, min(len(message), 6)):
        byte = message[place]
        size |= (byte & 0x7F) << shift
        if byte <= 0x7F:
            return place + 1 + size == len(message)
        shift += 7
    return False
