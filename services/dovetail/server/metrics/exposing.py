"""What a server with `--metrics-listen` has: a meter, figures, and the endpoint that shows both."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Generator
from concurrent.futures import CancelledError
from contextlib import closing, contextmanager
from typing import Any

from dovetail.server.config import ConfigError, ServerConfig
from dovetail.server.metrics.endpoint import Endpoint
from dovetail.server.metrics.figures import Figures, Found, late
from dovetail.server.metrics.meter import PrometheusMeter
from dovetail.server.store.store import Store

LOOP_SECONDS = 1.0
"""How long a scrape waits for the event loop; what is measured is shown in any case."""


class Metrics:
    """The metrics of one server."""

    def __init__(self, config: ServerConfig) -> None:
        """Begin to measure."""
        self.meter = PrometheusMeter(config.service)
        self._config = config

    @contextmanager
    def served(self, store: Store) -> Generator[str]:
        """Serve them inside the block, which gets the address. Raises ConfigError if it is taken.

        For the event loop of `store`.
        """
        config, loop = self._config, asyncio.get_running_loop()
        figures = Figures(store, config.service, config.figures_seconds)

        def render() -> bytes:
            asked = time.monotonic()
            return self.meter.exposition(_result(figures.read(asked), loop, asked))

        host, _, port = config.metrics_listen.rpartition(":")
        try:
            endpoint = Endpoint(host.strip("[]"), int(port), render)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {config.metrics_listen} for metrics: {error.strerror}."
                " Choose another: --metrics-listen HOST:PORT (port 0: any free one)"
            ) from error
        with closing(endpoint):
            yield f"{host}:{endpoint.port}"


def _result(
    work: Coroutine[Any, Any, Found], loop: asyncio.AbstractEventLoop, asked: float
) -> Found:
    """What the event loop reads, if it comes to it in time. Called on a thread of the endpoint."""
    try:
        future = asyncio.run_coroutine_threadsafe(work, loop)
    except RuntimeError:  # The loop is closed.
        work.close()
        return late(asked)
    try:
        return future.result(LOOP_SECONDS)
    except (TimeoutError, CancelledError):  # It is busy, or the server has ended.
        future.cancel()
        return late(asked)
