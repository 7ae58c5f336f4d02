"""The gateway as a process."""

import socket
from dataclasses import replace

import pytest
from msgspec.structs import replace as changed

from bus import RpcError
from gateway.__main__ import HttpServer
from gateway.app import create_app, uvicorn_config
from gateway.settings import HttpSettings

from .conftest import Gateway


async def test_a_port_that_is_taken_is_named_and_ends_no_loop(gateway: Gateway) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        hub = replace(gateway.hub, settings=changed(gateway.hub.settings, http=HttpSettings(port=port)))
        with pytest.raises(RpcError, match=f"127.0.0.1:{port}.*TROUPE_HTTP_PORT") as caught:
            await HttpServer(uvicorn_config(hub, create_app(hub))).serve()
    assert caught.value.reason == "ADDRESS_IN_USE"
