"""What a person is told while a command tries to reach a server."""

from __future__ import annotations

import logging
import sys


class _FirstRemark(logging.Handler):
    """Says once, on standard error, that the client makes a call again."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say it, and nothing more."""
        logging.getLogger(record.name).removeHandler(self)
        print(f"dovetail: {record.getMessage()} (Ctrl-C ends it)", file=sys.stderr, flush=True)


def tell_of_outages() -> None:
    """Tell whoever sits at the terminal that a server is waited for, and for how long."""
    if sys.stderr.isatty():
        log = logging.getLogger("dovetail.client.connection")
        log.setLevel(logging.INFO)
        log.addHandler(_FirstRemark())
        log.propagate = False
