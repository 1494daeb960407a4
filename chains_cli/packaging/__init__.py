"""ChainSpec -> packages: path -> bytes, content-addressed.

Comes in: a `ChainSpec` and a `WorkspaceReader`. Goes out: `ChainPackages`. Reads the workspace
and the files a Chainlet names; writes nothing but in `write_packages`.
"""
