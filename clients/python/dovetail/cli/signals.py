"""The signals that ask a program to end, where whoever started this process lets them through."""

from __future__ import annotations

import signal

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def heeded() -> tuple[signal.Signals, ...]:
    """Those that were not ignored when this process began: what was ignored stays so.

    `nohup` ignores SIGHUP, and a shell without job control SIGINT in what it starts with `&`. A
    handler of ours in the place of that would undo what was asked for.
    """
    return tuple(each for each in ENDING if signal.getsignal(each) is not signal.SIG_IGN)
