"""What a method is."""

import pytest

import bus
import troupe
from bus import Code, RpcError
from bus.service import check_call_id, check_metadata
from troupe.chat.v1 import ChatService, GenerateRequest
from troupe.echo.v1 import EchoRequest, EchoService


def test_a_method_knows_its_shape_and_policy() -> None:
    generate = ChatService.INFO.methods["Generate"]
    assert generate.full_name == "troupe.chat.v1.ChatService/Generate"
    assert (generate.client_streaming, generate.server_streaming) == (False, True)
    assert generate.policy.route_by == "model"
    assert generate.route_of(GenerateRequest(model="troupe-tiny")) == "troupe-tiny"
    assert EchoService.INFO.methods["Echo"].route_of(EchoRequest(text="x")) == ""


def test_a_service_is_routed_if_one_of_its_methods_is() -> None:
    assert ChatService.INFO.routed
    assert not EchoService.INFO.routed


def test_all_services_are_listed_under_their_names() -> None:
    services = troupe.services()
    assert services["troupe.echo.v1.EchoService"] is EchoService.INFO
    for name, service in services.items():
        assert service.name == name
        for method in service.methods.values():
            assert method.service == name


def test_every_streamed_response_can_carry_progress() -> None:
    for service in troupe.services().values():
        for method in service.methods.values():
            if method.server_streaming and method.policy.public:
                field = method.response.DESCRIPTOR.fields_by_number[15]
                assert field.message_type.full_name == "troupe.rpc.v1.Progress"


@pytest.mark.parametrize("call_id", ["a", "A-Z_09", "x" * 64])
def test_a_call_id_that_is_one_passes(call_id: str) -> None:
    check_call_id(call_id)


@pytest.mark.parametrize("call_id", ["", "x" * 65, "a.b", "a b", "a*", ">", "a\n", "đ", "a\r\nPUB x 0\r\n"])
def test_a_call_id_that_is_none_is_refused(call_id: str) -> None:
    with pytest.raises(RpcError) as caught:
        check_call_id(call_id)
    assert (caught.value.code, caught.value.field) == (Code.INVALID_ARGUMENT, "call_id")


@pytest.mark.parametrize("metadata", [{}, {"traceparent": "00-ab"}, {"a": ""}, {"a-b_c.d": "~ !"}, {"a": "x" * 8000}])
def test_metadata_that_can_travel_passes(metadata: dict[str, str]) -> None:
    check_metadata(metadata)


@pytest.mark.parametrize("metadata", [{"": "x"}, {"A": "x"}, {"a": "\n"}, {"a": "đ"}, {"a b": "x"}, {"a": "x" * 8192}])
def test_metadata_that_cannot_travel_is_refused(metadata: dict[str, str]) -> None:
    with pytest.raises(RpcError) as caught:
        check_metadata(metadata)
    assert (caught.value.code, caught.value.field) == (Code.INVALID_ARGUMENT, "metadata")


def test_the_public_surface_is_what_it_was_made_to_be() -> None:
    assert len(bus.__all__) == len(set(bus.__all__))
    for name in bus.__all__:
        assert getattr(bus, name) is not None
