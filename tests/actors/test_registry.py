import asyncio
import re
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

from actors.echo import EchoActor
from actors.registry import ACTORS, PARTS
from host import registry, runner

ROOT = Path(__file__).parents[2]


def test_a_name_leads_to_its_class() -> None:
    assert registry.find("echo", ACTORS) is EchoActor


def test_every_line_points_at_a_module_that_is_there() -> None:
    for location in ACTORS.values():
        module, _, attribute = location.partition(":")
        assert find_spec(module) is not None
        assert attribute.isidentifier()


def test_names_are_fit_for_the_bus_and_for_the_environment() -> None:
    assert all(name.isascii() and name.isalnum() and name.islower() for name in ACTORS)


async def test_reading_the_registry_imports_no_actor() -> None:
    script = (
        "import sys, actors.registry; assert not [m for m in sys.modules if m.startswith(('actors.echo', 'llama'))]"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    assert await process.wait() == 0


def test_each_part_is_an_extra_that_brings_its_libraries() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for name, part in PARTS.items():
        brought = {re.split(r"[<>=;\s]", line)[0] for line in extras[name]}
        assert {library.distribution for library in part.libraries} <= brought, name


def test_a_part_names_actors_that_there_are_and_what_they_serve() -> None:
    for part in PARTS.values():
        for actor, promised in part.actors.items() if not part.missing() else ():
            offered = {service.name for service in runner.services(registry.find(actor, ACTORS))}
            assert {service.partition("[")[0] for service in promised} <= offered
        assert part.actors.keys() <= ACTORS.keys()


def test_an_actor_needs_one_part_at_most() -> None:
    named = [actor for part in PARTS.values() for actor in part.actors]
    assert len(named) == len(set(named))
