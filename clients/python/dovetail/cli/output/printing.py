"""The output of commands: for people, or one JSON object per item."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import stat
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console, RenderableType
from rich.text import Text

M = TypeVar("M", bound=Message)

PIPE_COLUMNS = 10_000


class _Screen(Console):
    """A console whose reader may close the pipe, as `head` does: raises instead of exiting.

    An exit in the middle of several asyncio tasks is reported as a crash. Click ends silently.
    """

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def output_fault(error: OSError) -> str:
    """The text for a command that failed to write; detaches standard output.

    Otherwise Python would try to write the rest again at exit, and fail again.
    """
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    with contextlib.suppress(OSError), open(os.devnull, "wb") as empty:
        os.dup2(empty.fileno(), sys.stdout.fileno())
    return f"standard output cannot be written: {error.strerror or error}"


@contextmanager
def ending_with_reader() -> Generator[None]:
    """Cancel the block, and raise BrokenPipeError, as soon as the reader of standard output left.

    For commands that wait without end: they would notice only when they next print.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    has_left = False

    def leave() -> None:
        nonlocal has_left
        has_left = True
        loop.remove_reader(sys.stdout)
        task.cancel()

    if not stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode):
        yield
        return
    loop.add_reader(sys.stdout, leave)  # A pipe's writing end is readable once its reader is gone.
    try:
        yield
    except asyncio.CancelledError:
        if not has_left:
            raise
        task.uncancel()
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from None
    finally:
        loop.remove_reader(sys.stdout)


def console(file: Any = None) -> Console:
    """A console on standard output, or on `file`. In a pipe it does not wrap lines."""
    is_terminal = (file or sys.stdout).isatty()
    wide = None if is_terminal or "COLUMNS" in os.environ else PIPE_COLUMNS
    return _Screen(highlight=False, markup=False, emoji=False, width=wide, file=file)


def fields(item: Message) -> dict[str, Any]:
    """A message as a JSON object, with the contract's field names."""
    return MessageToDict(
        item, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


class Output:
    """Prints the items of a command."""

    def __init__(self, as_json: bool) -> None:
        """Print for people, or as JSON lines with the contract's field names."""
        self.as_json = as_json
        self._console = console()

    def item(self, item: M, shown: Callable[[M], RenderableType]) -> None:
        """Print an item; `shown` renders it for people."""
        if self.as_json:
            print(json.dumps(fields(item)), flush=True)
        else:
            self.show(shown(item))

    def items(self, items: list[M], shown: Callable[[list[M]], RenderableType]) -> None:
        """Print items: a line of JSON each, or for people all of them rendered as one."""
        if not self.as_json:
            self.show(shown(items))
            return
        for item in items:
            self.item(item, lambda _: "")

    def facts(self, facts: Mapping[str, Any], shown: Callable[[], RenderableType]) -> None:
        """Print values that are not a message of the contract; `shown` renders them for people."""
        if self.as_json:
            print(json.dumps(facts), flush=True)
        else:
            self.show(shown())

    def remark(self, text: str) -> None:
        """Print a remark for people; JSON output has none."""
        if not self.as_json:
            self.show(text)

    def show(self, shown: RenderableType) -> None:
        """Print for people, at once: the reader may be a pipe."""
        self._console.print(shown, soft_wrap=isinstance(shown, (str, Text)))
        sys.stdout.flush()
