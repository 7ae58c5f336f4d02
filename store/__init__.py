"""What lasts: typed views of JetStream, and the same in memory for tests.

docs/storage.md says which kind of data belongs where, and what each view promises.
"""

from store.blobs import Blob, Blobs, JetStreamBlobs, MemoryBlobs
from store.event_log import Delivery, Event, EventLog, JetStreamEventLog, MemoryEventLog, Page
from store.jetstream import JetStream
from store.locations import JetStreamLocations, Locations, MemoryLocations
from store.table import Change, Entry, JetStreamTable, MemoryTable, Table
from store.work_queue import DeadLetter, JetStreamWorkQueue, Job, MemoryWorkQueue, WorkQueue

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
    # What has happened
    "Delivery",
    "Event",
    "EventLog",
    "JetStreamEventLog",
    "MemoryEventLog",
    "Page",
    # What is to be done
    "DeadLetter",
    "JetStreamWorkQueue",
    "Job",
    "MemoryWorkQueue",
    "WorkQueue",
    # What is large
    "Blob",
    "Blobs",
    "JetStreamBlobs",
    "MemoryBlobs",
]
