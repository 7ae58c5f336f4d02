"""The company: what the hub can do, one module or folder per actor."""
