"""What every door shares."""

from dataclasses import dataclass, field

from bus.channel import Channel
from bus.transports import Transport
from gateway.access import Access
from gateway.catalog import Catalog
from gateway.gauges import Doors
from gateway.left_calls import LeftCalls
from gateway.limits import Limits
from gateway.locations import RememberedLocations
from gateway.names import Names
from gateway.settings import DoorSettings


@dataclass(frozen=True, slots=True)
class Hub:
    """One gateway process: its settings, its way to the bus, and what it lets through."""

    settings: DoorSettings
    transport: Transport
    channel: Channel
    catalog: Catalog
    access: Access
    limits: Limits
    locations: RememberedLocations
    doors: Doors = field(default_factory=Doors)
    left: LeftCalls = field(default_factory=LeftCalls)
    names: Names = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", Names(self.settings.models))
