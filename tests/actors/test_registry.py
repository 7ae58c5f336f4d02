import asyncio
import sys
from importlib.util import find_spec

from actors.echo import EchoActor
from actors.registry import ACTORS
from host import registry


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
