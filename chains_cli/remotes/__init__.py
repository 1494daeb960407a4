"""Where a Chain can run, behind one interface: `remote.Remote`.

`platform` speaks HTTP to a control plane, `embedded` finds or starts the one of this machine,
`memory` is the fake that tests use. All pass one contract suite.
"""
