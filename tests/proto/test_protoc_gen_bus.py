"""The plugin: what it writes, and which contracts it refuses."""

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.compiler import plugin_pb2

ROOT = Path(__file__).parents[2]

FILE = "troupe/trial/v1/trial.proto"
HEAD = """
syntax = "proto3";
package troupe.trial.v1;
import "troupe/rpc/v1/frame.proto";
message TryRequest { string name = 1; uint32 size = 2; repeated TryResponse said = 3; TryResponse one = 4; }
message TryResponse { troupe.rpc.v1.Progress progress = 15; }
message BareResponse { string progress = 15; }
"""


def generated(tmp_path: Path, service: str) -> plugin_pb2.CodeGeneratorResponse:
    """What the plugin answers for HEAD and a service."""
    (tmp_path / FILE).parent.mkdir(parents=True)
    (tmp_path / FILE).write_text(HEAD + service)
    found = tmp_path / "set"
    include = ["-I", str(ROOT / "proto"), "-I", str(tmp_path)]
    protoc = [sys.executable, "-m", "grpc_tools.protoc", *include, f"--descriptor_set_out={found}"]
    subprocess.run([*protoc, "--include_imports", "--include_source_info", FILE], check=True)
    files = descriptor_pb2.FileDescriptorSet.FromString(found.read_bytes()).file
    request = plugin_pb2.CodeGeneratorRequest(file_to_generate=[FILE], proto_file=files)
    plugin = [sys.executable, "-P", str(ROOT / "proto" / "protoc_gen_bus.py")]
    answer = subprocess.run(plugin, input=request.SerializeToString(), capture_output=True, check=True)
    return plugin_pb2.CodeGeneratorResponse.FromString(answer.stdout)


def service(policy: str = "", response: str = "TryResponse") -> str:
    option = f"option (troupe.rpc.v1.policy) = {{{policy}}};"
    return f"service TrialService {{ rpc Try(TryRequest) returns (stream {response}) {{ {option} }} }}"


def test_a_stream_is_generated_as_a_call_and_its_policy_as_words(tmp_path: Path) -> None:
    resolution = '{method: "troupe.trial.v1.TrialService/Try" field: "name"}'
    policy = f'route_by: "name" priority: PRIORITY_BATCH ends_with_caller: true resolved_by: {resolution}'
    answer = generated(tmp_path, service(policy))
    assert not answer.error
    code = answer.file[0].content
    assert "priority=Priority.BATCH" in code
    assert "ends_with_caller=True" in code
    assert "resolved_by=Resolution('troupe.trial.v1.TrialService/Try', 'name')" in code
    assert "-> StreamCall[TryResponse]" in code
    assert "from bus import Caller, Context, Metadata, MethodInfo, Policy, Priority, Resolution, RpcError" in code


def test_what_goes_on_names_the_field_that_takes_what_was_delivered(tmp_path: Path) -> None:
    answer = generated(tmp_path, service('continued_by: {request_field: "said"}'))
    assert not answer.error
    assert "continued_by='said'" in answer.file[0].content


def test_only_a_stream_of_responses_to_one_request_goes_on(tmp_path: Path) -> None:
    unary = service('continued_by: {request_field: "said"}').replace("(stream TryResponse)", "(TryResponse)")
    assert "only a method with one request and a stream" in generated(tmp_path, unary).error


def test_a_streamed_response_without_progress_is_refused_with_file_and_message(tmp_path: Path) -> None:
    error = generated(tmp_path, service(response="BareResponse")).error
    assert f"{FILE}: TrialService.Try" in error
    assert "troupe.trial.v1.BareResponse" in error
    assert "troupe.rpc.v1.Progress progress = 15;" in error


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ('route_by: "size"', "'size', which is no string field"),
        ('route_by: "colour"', "'colour', which is no string field"),
        ('resolved_by: {method: "troupe.trial.v1.TrialService/Try" field: "name"}', "no `route_by`"),
        ('route_by: "name" resolved_by: {method: "a.B/C" field: "name"}', "'a.B/C', which no service"),
        (
            'route_by: "name" '
            'resolved_by: {method: "troupe.trial.v1.TrialService/Try" field: "name" method_field: "no"}',
            "through 'no'",
        ),
        (
            'route_by: "name" resolved_by: {method: "troupe.trial.v1.TrialService/Try" field: "size"}',
            "string field of this name",
        ),
        ('continued_by: {request_field: "name"}', "'name', which is no repeated field"),
        ('continued_by: {request_field: "one"}', "'one', which is no repeated field"),
        ('continued_by: {request_field: "gone"}', "'gone', which is no repeated field"),
    ],
)
def test_a_policy_that_names_what_is_not_there_is_refused(tmp_path: Path, policy: str, told: str) -> None:
    assert told in generated(tmp_path, service(policy)).error
