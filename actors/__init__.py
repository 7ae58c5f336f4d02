"""The actors: what the hub can do, and what runs them."""
