"""The gateway: a process of its own that takes requests to replicas.

Comes in: requests of clients, and tables of routes from the control plane. Goes out: the
same requests, stamped with the revision they belong to, to one replica of the entrypoint.
It keeps its last table in a file, so it serves without a control plane.
"""
