"""The verbs of the tool without a terminal.

An operation takes plain arguments, reports events while it works and returns a frozen result
that knows its exit status. What the user can cause and what ends the work is a
`DiagnosticsError`.
"""
