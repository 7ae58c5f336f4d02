"""What a program loads that only wants to call a hub."""

import subprocess
import sys

import pytest

MACHINERY = {
    "actors", "bus.channel", "bus.server", "bus.transports", "cli", "gateway", "host", "llama_cpp", "nats", "numpy",
    "opentelemetry", "prometheus_client", "prompt_toolkit", "rich", "starlette", "store", "structlog", "uvicorn",
    "uvloop", "websockets",
}  # fmt: skip


@pytest.mark.parametrize(
    ("module", "machinery"),
    [("troupe_client", MACHINERY), ("troupe.chat.v1", MACHINERY | {"grpc"}), ("bus", MACHINERY | {"grpc"})],
)
def test_importing_it_loads_no_machinery(module: str, machinery: set[str]) -> None:
    script = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert module in loaded
    assert loaded & machinery == set()
