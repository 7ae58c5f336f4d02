"""One process of a hub and its neighbours: settings, logs, metrics, its place on the bus, who watches it."""
