"""What crosses a wire between the parts of Chains.

Comes in: nothing. Goes out: pydantic models and pure functions over them. Touches
nothing: no I/O, no clock, no randomness, no import besides pydantic.
"""
