"""Saves -> patches of the development deployment.

`loop` tells which files changed, `decide` (pure) what that needs, `session` holds the last
good state and carries rounds out through what it is given: discovery, packaging, a target.
"""
