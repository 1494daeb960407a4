"""Reads user source as text; never imports or runs it."""
