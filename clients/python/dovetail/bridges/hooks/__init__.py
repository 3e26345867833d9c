"""`dovetail hook`: what a host runs between the steps of a model, in at most 50 ms of CPU.

A hook reads nothing of Dovetail itself: it hands what the host says to the watcher of its agent,
through a local socket, and prints what that answers. Only what this room says is loaded for that:
each module of the standard library that is not loaded anyway costs a call of a tool some
milliseconds. `tests/cli/test_hooks.py` has the list of what may be loaded.

What each host says and reads is in a module of its name, with where it was read and when.
"""
