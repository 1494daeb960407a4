"""The inside of a replica: one Chainlet, N generations of its code."""
