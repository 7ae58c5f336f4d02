import json

from bus.stream import MAX_PIECE, Assembler, split
from gateway.catalog import Catalog
from gateway.codec import JsonForm
from troupe.echo.v1 import EchoResponse
from troupe.rpc.v1 import Frame

ECHO = "troupe.echo.v1.EchoService/Echo"


def test_text_counts_whole_messages_only_so_that_a_resume_never_begins_inside_one() -> None:
    method, form, assembler = Catalog().method(ECHO), JsonForm(), Assembler()
    large = split(EchoResponse(text="x" * (MAX_PIECE + 1)).SerializeToString())
    assert len(large) == 2
    small = EchoResponse(text="small").SerializeToString()
    first = form.encode(Frame(call_id="c", sequence=2, payload=[small, large[0]], more=True), method, assembler)
    second = form.encode(Frame(call_id="c", sequence=3, payload=[large[1]]), method, assembler)
    assert first is not None
    assert second is not None
    assert json.loads(first) == {"callId": "c", "sequence": "1", "payload": [{"text": "small"}]}
    assert json.loads(second)["sequence"] == "3"
    assert len(json.loads(second)["payload"][0]["text"]) == MAX_PIECE + 1


def test_text_holds_back_a_frame_with_nothing_but_a_piece() -> None:
    form, assembler = JsonForm(), Assembler()
    piece = split(EchoResponse(text="x" * (MAX_PIECE + 1)).SerializeToString())[0]
    frame = Frame(call_id="c", sequence=1, payload=[piece], more=True)
    assert form.encode(frame, Catalog().method(ECHO), assembler) is None


def test_a_payload_of_null_is_none_as_everywhere_in_protobufs_json() -> None:
    frame, payloads = JsonForm().decode('{"callId": "c", "payload": null}')
    assert (frame, payloads) == (Frame(call_id="c"), [])
