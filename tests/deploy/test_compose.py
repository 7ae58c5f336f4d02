"""docker-compose.yml and Dockerfile."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.settings import doors_of, load

ROOT = Path(__file__).parents[2]


def client() -> list[str] | None:
    """Docker's compose command, in either of its forms; None where there is none. No engine is needed."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if (
            shutil.which(command[0])
            and subprocess.run([*command, "version"], capture_output=True, check=False).returncode == 0
        ):
            return command
    return None


COMPOSE = client()
needs_client = pytest.mark.skipif(COMPOSE is None, reason="Docker's compose client is not there")


def configured(environment: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    assert COMPOSE is not None
    command = [*COMPOSE, "-f", str(ROOT / "docker-compose.yml"), *options, "config"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("TROUPE_")} | environment
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd=ROOT, check=False)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    done = configured({"TROUPE_BUS_PASSWORD": "secret"})
    return unprofiled(done)


def unprofiled(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Services that start without a profile; the client's first generation prints the others, too."""
    return {name: service for name, service in services_of(done).items() if "profiles" not in service}


def services_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found = yaml.safe_load(done.stdout)["services"]
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def on_card() -> dict[str, Any]:
    """The hub of the profile gpu."""
    found = services_of(configured({"TROUPE_BUS_PASSWORD": "secret"}, "--profile", "gpu"))["hub-gpu"]
    assert isinstance(found, dict)
    return found


@needs_client
def test_the_bus_and_the_hub_have_a_health_check_each(services: dict[str, Any]) -> None:
    assert set(services) == {"nats", "hub"}
    assert all("healthcheck" in service for service in services.values())


@needs_client
def test_the_hub_is_supervised_in_its_container_as_everywhere(services: dict[str, Any]) -> None:
    assert services["hub"]["command"] == ["troupe", "up"]
    assert services["hub"]["read_only"] is True


@needs_client
def test_the_doors_are_reached_from_this_machine_alone(services: dict[str, Any]) -> None:
    published = {mapping(port) for service in services.values() for port in service.get("ports", [])}
    assert published == {("127.0.0.1", 8080), ("127.0.0.1", 50051)}


def mapping(port: dict[str, Any] | str) -> tuple[str, int]:
    """Where a port is published and which it is; the client's first generation prints the short form."""
    if isinstance(port, str):
        host, _, target = port.removesuffix("/tcp").split(":")
        return host, int(target)
    return port["host_ip"], port["target"]


@needs_client
def test_on_a_card_the_hub_is_the_same_but_for_its_image_and_the_card(
    services: dict[str, Any], on_card: dict[str, Any]
) -> None:
    [device] = on_card["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    own = {"build", "deploy", "image", "profiles"}
    assert {key: value for key, value in on_card.items() if key not in own} == {
        key: value for key, value in services["hub"].items() if key not in own
    }


@needs_client
def test_the_image_for_a_card_is_built_with_cuda_from_bases_of_one_version(on_card: dict[str, Any]) -> None:
    told = on_card["build"]["args"]
    assert {"-DGGML_CUDA=ON", "-DGGML_NATIVE=OFF"} <= set(told["CMAKE_ARGS"].split())
    assert told["BUILD_BASE"].replace("-devel-", "-runtime-") == told["BASE"]
    declared = re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert set(told) <= set(declared), "a misspelt argument is ignored by the build"


@needs_client
def test_without_a_password_for_the_bus_nothing_starts() -> None:
    done = configured({})
    assert (done.returncode != 0, "TROUPE_BUS_PASSWORD" in done.stderr) == (True, True)


def test_the_settings_that_containers_get_are_sound(tmp_path: Path) -> None:
    environment = {
        "TROUPE_HOME": str(tmp_path),
        "NATS_URL": "nats://nats:4222",
        "TROUPE_BUS_USER": "troupe",
        "TROUPE_BUS_PASSWORD": "secret",
        "TROUPE_HTTP_HOST": "0.0.0.0",
        "TROUPE_GRPC_HOST": "0.0.0.0",
    }
    compose = (ROOT / "docker-compose.yml").read_text()
    assert all(name in compose for name in environment if name != "TROUPE_HOME")
    settings = load(ROOT / "deploy" / "troupe.toml", environment)
    assert (settings.bus.url, doors_of(settings).http.host) == ("nats://nats:4222", "0.0.0.0")


def test_what_the_image_is_built_from_is_there_and_let_through() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    names = [name for line in copied for name in line.split()]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert [name for name in names if not (ROOT / name).exists() or f"!{name}" not in ignored] == []
