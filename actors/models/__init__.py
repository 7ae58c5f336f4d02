"""The front of all models: one list, one way to load, whatever family they are of."""
