"""A program: other queues that keep tasks in a database, each on its durable setting.

`python -m bench.peers.queues huey|procrastinate STORE TASKS WORKERS [PID]` puts TASKS tasks into
the queue, runs them with WORKERS workers, and prints the trial. A task does nothing. PID is that of
the database.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from itertools import count
from typing import Any, cast

from bench.cpu import Processes, Span
from bench.trials import Trial


def huey(store: str, tasks: int, workers: int, span: Span) -> None:
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
    with span:
        consumer.start()
        done.wait()
    consumer.stop(graceful=True)


def procrastinate(store: str, tasks: int, workers: int, span: Span) -> None:
    """Procrastinate on PostgreSQL, whose commits wait for the disk by default."""
    asyncio.run(_procrastinate(store, tasks, workers, span))


async def _procrastinate(store: str, tasks: int, workers: int, span: Span) -> None:
    import procrastinate as library

    # One connection more than workers, with which it fetches the next task.
    connector = library.PsycopgConnector(conninfo=store, min_size=1, max_size=workers + 1)
    app = library.App(connector=connector)

    @app.task(name="work")
    async def work() -> str:
        return "done"

    async with app.open_async():
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()
        await work.batch_defer_async(*([dict[str, Any]()] * tasks))
        with span:
            await app.run_worker_async(
                wait=False, concurrency=workers, install_signal_handlers=False, listen_notify=False
            )


QUEUES: dict[str, Callable[[str, int, int, Span], None]] = {
    "huey": huey,
    "procrastinate": procrastinate,
}


def main(name: str, store: str, tasks: str, workers: str, *database: str) -> None:
    """Run one of the queues, and print its trial."""
    span = Span(Processes(database=tuple(map(int, database))))
    QUEUES[name](store, int(tasks), int(workers), span)
    print(json.dumps(asdict(Trial.of_count(span, int(tasks)))))


if __name__ == "__main__":
    from bench.peers import queues  # Procrastinate needs its app in a module with a name.

    queues.main(*sys.argv[1:])
