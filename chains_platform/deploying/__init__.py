"""Deployments: planned, pushed, promoted, removed."""
