"""What lasts: typed views of JetStream, and the same in memory for tests.

docs/storage.md says which kind of data belongs where, and what each view promises.
"""

from store.blob_rows import BlobRow
from store.blob_writer import BlobWriter
from store.blobs import BlobFiles, BlobLimits, NewBlob
from store.ending import ended
from store.event_log import JetStreamEventLog
from store.events import Delivery, Event, EventLog, Page, Quarantine, Unreadable
from store.jetstream import JetStream
from store.locations import Locations, MemoryLocations, TableLocations
from store.memory_events import MemoryEventLog, MemoryEventStream
from store.mirror import Mirror, Sighted
from store.stores import Events, JetStreamStore, MemoryStore, Queues, Store, Tables, store_of
from store.table import Change, Entry, JetStreamTable, MemoryTable, Table
from store.work_queue import DeadLetter, JetStreamWorkQueue, Job, MemoryWorkQueue, WorkQueue

__all__ = [
    # The way to all of it
    "Events",
    "JetStream",
    "JetStreamStore",
    "MemoryStore",
    "Queues",
    "Store",
    "Tables",
    "store_of",
    # Key and value
    "Change",
    "Entry",
    "JetStreamTable",
    "MemoryTable",
    "Mirror",
    "Sighted",
    "Table",
    "ended",
    # Where calls live
    "Locations",
    "MemoryLocations",
    "TableLocations",
    # What has happened
    "Delivery",
    "Event",
    "EventLog",
    "JetStreamEventLog",
    "MemoryEventLog",
    "MemoryEventStream",
    "Page",
    "Quarantine",
    "Unreadable",
    # What is to be done
    "DeadLetter",
    "JetStreamWorkQueue",
    "Job",
    "MemoryWorkQueue",
    "WorkQueue",
    # What is large
    "BlobFiles",
    "BlobLimits",
    "BlobRow",
    "BlobWriter",
    "NewBlob",
]
