"""The command `troupe`: where contract, bus, actors, doors and client are put together."""
