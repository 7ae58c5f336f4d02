"""Where a hub is reached."""

import os
import socket
from pathlib import Path

import pytest

from host.addresses import Addresses, Door, HubFailed, reachable, with_port


def test_a_door_without_a_port_gets_a_free_one() -> None:
    assert with_port(Door("http", "127.0.0.1", 0)).port > 0


def test_a_door_that_is_taken_is_named_with_the_variable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(HubFailed, match=f"127.0.0.1:{port} cannot be used for grpc .* TROUPE_GRPC_PORT"):
            with_port(Door("grpc", "127.0.0.1", port))


@pytest.mark.parametrize(
    ("host", "told"), [("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("::1", "[::1]"), ("10.0.0.7", "10.0.0.7")]
)
def test_a_program_on_this_machine_is_told_an_address_that_it_can_use(host: str, told: str) -> None:
    assert reachable(host) == told


def test_others_find_the_process_and_its_doors() -> None:
    doors = {"http": "127.0.0.1:8080"}
    record = Addresses(doors, "nats://127.0.0.1:4", Path("/h"), {"echo": "serving"}).record()
    assert (record.process, record.doors, record.bus) == (os.getpid(), doors, "nats://127.0.0.1:4")
