"""The control plane's HTTP face.

Comes in: requests of `chains_protocol.control` and `.patch`. Goes out: replies, streams of
server-sent events, `ApiError` bodies. Decides nothing: it calls `Services`.
"""
