"""Packages + what a remote runs -> `Plan`; and the executor that carries a plan out.

`planner` is pure, `plan` is data that can be printed, compared and sent, `executor` alone
changes anything, through a `Remote`.
"""
