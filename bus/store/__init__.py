"""What lasts: typed views of JetStream, and the same in memory for tests.

docs/storage.md says which kind of data belongs where, and what each view promises.
"""

from bus.store.jetstream import JetStream
from bus.store.locations import JetStreamLocations, Locations, MemoryLocations
from bus.store.table import Change, Entry, JetStreamTable, MemoryTable, Table

__all__ = [
    # Connection
    "JetStream",
    # Key and value
    "Change",
    "Entry",
    "JetStreamTable",
    "MemoryTable",
    "Table",
    # Where calls live
    "JetStreamLocations",
    "Locations",
    "MemoryLocations",
]
