"""gRPC in a process that was forked from one that had used it.

gRPC's core keeps threads and locks, and a fork copies their state without the threads: whatever
the child starts with it hangs. Its own support for forks does not cover grpc.aio, whose poller is
always in the core. So a forked child gets a second, fresh copy of the core: the extension module
is loaded again, from a copy of its file (the same file would be the same memory), and replaces the
first one in the modules of `grpc`. The first copy is never touched again: objects that belong to
it (channels of the parent) must not be destroyed, which would hang too.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from importlib.machinery import ExtensionFileLoader
from types import ModuleType
from typing import Any, cast

from grpc._cython import cygrpc

CORE = "grpc._cython.cygrpc"
FILE = cygrpc.__file__

_kept = weakref.WeakSet[Any]()
_first_pids: list[int] = []


def refuse_in_child(pid: int) -> None:
    """Raise RuntimeError in a forked child of process `pid`: a call there would never end."""
    if pid != os.getpid():
        raise RuntimeError(
            f"this connection was made by process {pid}, of which process {os.getpid()} was forked:"
            " call connect() again in the new process"
        )


def keep_in_children(thing: Any) -> None:
    """Never destroy this object in a forked child: it belongs to the core of the parent."""
    _kept.add(thing)


def prepare_core() -> None:
    """Renew the core in a forked child that has not done so; call it before opening a channel."""
    if _first_pids and _first_pids[-1] != os.getpid():
        _renew()
    if os.getpid() not in _first_pids:
        _first_pids.append(os.getpid())


def _after_fork() -> None:
    import ctypes

    for thing in _kept:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


os.register_at_fork(after_in_child=_after_fork)


def _renew() -> None:
    """Make the imported modules of `grpc` use a fresh copy of their core."""
    old = sys.modules[CORE]
    new = _copy()
    for name, module in list(sys.modules.items()):
        if name == "grpc" or name.startswith("grpc."):
            _rebind(module, old, new)
    sys.modules[CORE] = new


def _copy() -> ModuleType:
    """Load the extension module again. Raises RuntimeError if that fails."""
    try:
        with _copied_file() as file:
            loader = ExtensionFileLoader(CORE, file)
            spec = importlib.util.spec_from_file_location(CORE, file, loader=loader)
            assert spec is not None
            new = importlib.util.module_from_spec(spec)
            loader.exec_module(new)
            return new
    except (OSError, ImportError) as error:
        raise RuntimeError(
            f"this process was forked, and gRPC cannot be loaded once more in it ({error}): start"
            ' processes in another way, such as multiprocessing.get_context("spawn")'
        ) from error


@contextmanager
def _copied_file() -> Generator[str]:
    """A copy of the file, which is removed at the end of the block.

    In memory where possible: temporary folders may be mounted noexec. The path contains our pid,
    because no path is loaded twice and our parent may have loaded one.
    """
    import shutil  # Here and below: most processes never fork, and these take 5 ms to load.
    import tempfile

    if sys.platform == "linux":
        with open(FILE, "rb") as file, open(os.memfd_create("cygrpc"), "wb") as copy:
            shutil.copyfileobj(file, copy)
            copy.flush()
            yield f"/proc/{os.getpid()}/fd/{copy.fileno()}"
    else:
        with tempfile.TemporaryDirectory(prefix="dovetail-grpc-") as folder:
            yield shutil.copy(FILE, folder)


def _rebind(module: ModuleType, old: ModuleType, new: ModuleType) -> None:
    """Rebind the names in a module that refer to the old core, or a part of it, to the new one."""
    parts = {id(part): name for name, part in vars(old).items() if _is_part(part)}
    for name, value in list(vars(module).items()):
        if value is old:
            setattr(module, name, new)
        elif id(value) in parts:
            setattr(module, name, getattr(new, parts[id(value)]))


def _is_part(value: Any) -> bool:
    """Whether a value belongs to the core: a class, a function or an object of its module."""
    if isinstance(value, ModuleType):
        return False
    kind = cast(Any, value if isinstance(value, type) else type(value))
    return kind.__module__ == CORE or getattr(value, "__module__", "") == CORE
