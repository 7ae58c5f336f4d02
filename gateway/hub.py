"""What every door shares."""

from dataclasses import dataclass, field

from bus import Channel, Transport
from bus.settings import Settings
from gateway.access import Access
from gateway.catalog import Catalog
from gateway.gauges import Doors
from gateway.limits import Limits
from gateway.locations import RememberedLocations


@dataclass(frozen=True, slots=True)
class Hub:
    """One gateway process: its settings, its way to the bus, and what it lets through."""

    settings: Settings
    transport: Transport
    channel: Channel
    catalog: Catalog
    access: Access
    limits: Limits
    locations: RememberedLocations
    doors: Doors = field(default_factory=Doors)
