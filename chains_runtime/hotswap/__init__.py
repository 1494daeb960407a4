"""Edited code beside running code: load a generation, hand the state over, switch.

Comes in: package directories. Goes out: generations, each with module objects of its own.
Touches `sys.modules`, `sys.meta_path`, `sys.path` and `linecache` of this process, through one
`ModuleSpace`, and nothing else.
"""
