"""Makes the models that Troupe ships and tests with; stands alone and is not needed to run the hub."""
