"""The contracts of the bus, clause by clause, for every implementation; faults with a seed; a server for one test."""

from bus.testing.call_contract import CALL_CONTRACT
from bus.testing.clock import run_at_once
from bus.testing.faults import (
    CuttingTransport,
    DelayingTransport,
    DuplicatingTransport,
    FaultyTransport,
    HesitantTransport,
    LosingTransport,
    ReorderingTransport,
)
from bus.testing.hall import Hall
from bus.testing.nats_server import NatsServer
from bus.testing.transport_contract import TRANSPORT_CONTRACT, Ear
from bus.testing.wire import Wire

__all__ = [
    # Contracts
    "CALL_CONTRACT",
    "TRANSPORT_CONTRACT",
    # What they are written with
    "Ear",
    "Hall",
    # Faults
    "CuttingTransport",
    "DelayingTransport",
    "DuplicatingTransport",
    "FaultyTransport",
    "HesitantTransport",
    "LosingTransport",
    "ReorderingTransport",
    # Time and servers
    "NatsServer",
    "Wire",
    "run_at_once",
]
