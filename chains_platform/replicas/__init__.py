"""Replica sets and their processes: what is wanted, what runs, and who is told of it."""
