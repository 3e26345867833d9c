"""The signals that ask a program to end, unless its starter had them ignored."""

from __future__ import annotations

import os
import signal
import sys
import threading

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def ending_signals() -> tuple[signal.Signals, ...]:
    """The signals that were not ignored when this process started.

    `nohup` ignores SIGHUP, and a shell without job control ignores SIGINT for commands started with
    `&`. A handler of ours would undo that.
    """
    return tuple(each for each in ENDING if signal.getsignal(each) is not signal.SIG_IGN)


def end_with_parent() -> None:
    """End by SIGTERM when standard input closes.

    The parent holds its other end, however the parent ends.
    """
    # Only the parent decides when this ends, by this signal, which may have been ignored before.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_stop_when_stdin_closes, daemon=True).start()


def _stop_when_stdin_closes() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
