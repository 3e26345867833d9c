"""The signals that ask a program to end, unless its starter had them ignored."""

from __future__ import annotations

import signal

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def ending_signals() -> tuple[signal.Signals, ...]:
    """The signals that were not ignored when this process started.

    `nohup` ignores SIGHUP, and a shell without job control ignores SIGINT for commands started with
    `&`. A handler of ours would undo that.
    """
    return tuple(each for each in ENDING if signal.getsignal(each) is not signal.SIG_IGN)
