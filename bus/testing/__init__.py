"""The contracts of the bus as functions that implementers call, faults with a seed, and a server for one test."""

from bus.testing.nats_server import NatsServer

__all__ = [
    # Servers
    "NatsServer",
]
