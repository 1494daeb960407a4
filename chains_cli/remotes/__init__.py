"""Where a Chain can run, behind one interface: `remote.Remote`.

`platform` speaks HTTP to a control plane, `embedded` finds or starts the one of this machine,
`memory` is the fake that tests use. All pass one contract suite.
"""

import sys

# httpx loads a command line of its own if it can; nobody here calls it, and it takes longer than all the rest
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # None: there is no such module
