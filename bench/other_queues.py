"""A program: other queues that keep tasks in a database, each on its durable setting.

`python -m bench.other_queues huey|procrastinate STORE TASKS WORKERS` puts TASKS tasks into the
queue, runs them with WORKERS workers, and prints the seconds that took. A task does nothing.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Any, cast


def huey(store: str, tasks: int, workers: int) -> float:
    """Huey on SQLite, which waits for the disk at each commit (synchronous=FULL)."""
    from huey import SqliteHuey, signals

    queue = cast(Any, SqliteHuey)("bench", filename=store.removeprefix("sqlite:///"), fsync=True)
    done, numbers = threading.Event(), count(1)

    @queue.task()
    def work() -> str:
        return "done"

    @queue.signal(signals.SIGNAL_COMPLETE)
    def completed(*_: object) -> None:
        if next(numbers) == tasks:
            done.set()

    for _ in range(tasks):
        work()
    consumer = queue.create_consumer(workers=workers, periodic=False)
    begin = time.perf_counter()
    consumer.start()
    done.wait()
    elapsed = time.perf_counter() - begin
    consumer.stop(graceful=True)
    return elapsed


def procrastinate(store: str, tasks: int, workers: int) -> float:
    """Procrastinate on PostgreSQL, whose commits wait for the disk by default."""
    return asyncio.run(_procrastinate(store, tasks, workers))


async def _procrastinate(store: str, tasks: int, workers: int) -> float:
    import procrastinate as library

    app = library.App(connector=library.PsycopgConnector(conninfo=store, max_size=workers))

    @app.task(name="work")
    async def work() -> str:
        return "done"

    async with app.open_async():
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()
        await work.batch_defer_async(*([dict[str, Any]()] * tasks))
        begin = time.perf_counter()
        await app.run_worker_async(
            wait=False, concurrency=workers, install_signal_handlers=False, listen_notify=False
        )
        return time.perf_counter() - begin


QUEUES: dict[str, Callable[[str, int, int], float]] = {
    "huey": huey,
    "procrastinate": procrastinate,
}


def main(name: str, store: str, tasks: str, workers: str) -> None:
    """Run one of the queues, and print its time."""
    print(QUEUES[name](store, int(tasks), int(workers)))


if __name__ == "__main__":
    from bench import other_queues  # Procrastinate needs its app in a module with a name.

    other_queues.main(*sys.argv[1:])
