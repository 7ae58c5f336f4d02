"""The two forms of a frame on the WebSocket: protobuf bytes, and JSON text with the messages spelled out."""

import binascii
from typing import Any

import msgspec
from google.protobuf import json_format
from google.protobuf.message import DecodeError

from bus import MethodInfo, invalid
from bus.stream import Assembler, Pieces, split
from troupe.rpc.v1 import Frame


class MalformedFrame(Exception):
    """These bytes or this text are no Frame: the connection's fault, not a call's."""


class BinaryForm:
    """Protobuf bytes; payloads stay as they are."""

    text = False

    def decode(self, message: bytes) -> Frame:
        """Raises MalformedFrame."""
        try:
            return Frame.FromString(message)
        except DecodeError as error:
            raise MalformedFrame(f"These {len(message)} bytes are no troupe.rpc.v1.Frame: {error}.") from error

    def encode(self, frame: Frame, method: MethodInfo | None, assembler: Assembler | None) -> bytes:
        return frame.SerializeToString()


class JsonForm:
    """Protobuf's JSON mapping, except that `payload` holds the messages as JSON objects."""

    text = True

    def decode(self, message: str) -> tuple[Frame, list[Any]]:
        """The frame without payloads, and the payloads as JSON values. Raises MalformedFrame."""
        try:
            raw = msgspec.json.decode(message)
        except (msgspec.DecodeError, UnicodeEncodeError) as error:
            raise MalformedFrame(f"This text is no JSON: {error}.") from error
        except RecursionError as error:
            raise MalformedFrame("This text is nested too deeply.") from error
        if not isinstance(raw, dict):
            raise MalformedFrame('A frame is a JSON object, for example {"callId": "…", "cancel": {}}.')
        payloads = raw.pop("payload", None)
        if not isinstance(payloads, list | None):
            raise MalformedFrame("payload is a list of messages.")
        try:
            return json_format.ParseDict(raw, Frame()), payloads or []
        except (json_format.ParseError, ValueError, TypeError, RecursionError, binascii.Error) as error:
            raise MalformedFrame(f"This object is no troupe.rpc.v1.Frame: {_sentence(error)}") from error

    def encode(self, frame: Frame, method: MethodInfo | None, assembler: Assembler | None) -> str | None:
        """The frame as text; None where it holds nothing but an unfinished message."""
        messages: list[bytes] = []
        if frame.payload and assembler is not None:
            fed = assembler.feed(Pieces(frame.payload, frame.sequence, frame.more))
            messages = [payload for payload, _ in fed]
            if fed:
                # A client resumes after the last message that it has, never in the middle of the next one.
                frame.sequence = fed[-1][1]
            del frame.payload[:]
            frame.more = False
        raw = json_format.MessageToDict(frame)
        if messages and method is not None:
            kind = method.response
            raw["payload"] = [json_format.MessageToDict(kind.FromString(payload)) for payload in messages]
        elif set(raw) <= {"callId", "epoch", "sequence"}:
            return None
        return msgspec.json.encode(raw).decode()


def payload_of(method: MethodInfo, value: Any) -> list[bytes]:
    """A JSON value as pieces of the method's request. Raises INVALID_ARGUMENT naming what does not fit."""
    name = method.request.DESCRIPTOR.full_name
    if not isinstance(value, dict):
        raise invalid(f"A payload is a {name} as a JSON object, not {type(value).__name__}.", "payload")
    try:
        message = json_format.ParseDict(value, method.request())
    except (json_format.ParseError, ValueError, TypeError, RecursionError) as error:
        raise invalid(f"The payload is no {name}: {_sentence(error)}", "payload") from error
    return split(message.SerializeToString())


def _sentence(error: Exception) -> str:
    """What protobuf says of JSON, in one line with one full stop."""
    return " ".join(str(error).split()).rstrip(".") + "."
