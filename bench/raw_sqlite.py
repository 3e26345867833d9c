"""A program: the rows of messages written to SQLite directly, as fast as one thread can.

`python -m bench.raw_sqlite FILE GROUP SECONDS` commits groups of GROUP messages for so long, and
prints the trial. The file has the store's tables, indexes and settings. What a message writes is
copied from one that the store wrote itself: its row, a delivery, the counters of its inbox; and
once in each commit the counters of the team. It reads nothing, and checks nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from contextlib import closing
from dataclasses import asdict
from itertools import count
from pathlib import Path
from statistics import fmean
from typing import Any

from cysqlite._cysqlite import Connection

from bench import fill
from bench.cpu import Processes, Span
from bench.trials import Trial
from dovetail.server.store.engines.sqlite import PRAGMAS

BODY, RECIPIENTS = "x" * 200, 8
RECENT = 5_000
GROUPS = """
SELECT COUNT(*) FROM (
  SELECT create_time FROM messages WHERE team_id = ? ORDER BY number DESC LIMIT ?
) GROUP BY create_time
"""
Rows = list[dict[str, Any]]


def group_size(store_url: str) -> int:
    """How many messages a commit of a SQLite store had, at the mean of the last ones.

    Those of one commit have one time.
    """
    with closing(Connection(store_url.removeprefix("sqlite:///"))) as connection:
        sizes = connection.execute(GROUPS, (fill.TEAM, RECENT)).fetchall()
    return round(fmean(size for (size,) in sizes))


class Writer:
    """Writes copies of one message."""

    def __init__(self, connection: Any) -> None:
        """Read the message of which copies are written."""
        self._connection = connection
        repeat = {"request_hash": hashlib.sha256().digest()}
        self._message = {**self._first("messages"), **repeat}
        self._delivery = self._first("deliveries")
        self._numbers = count(connection.execute_scalar("SELECT MAX(number) FROM messages") + 1)

    def add_recipients(self) -> None:
        """Add the recipients but the first, which is there."""
        agent = self._first("agents")
        others = range(1, RECIPIENTS)
        self._insert("agents", [{**agent, "agent_id": _recipient(n)} for n in others])

    def commit_group(self, size: int) -> None:
        """Write this many messages in one transaction."""
        self._connection.execute("BEGIN IMMEDIATE")
        messages: Rows = []
        deliveries: Rows = []
        number = 0
        for number in (next(self._numbers) for _ in range(size)):
            recipient_id = _recipient(number % RECIPIENTS)
            messages.append(
                {
                    **self._message,
                    "number": number,
                    "sender_id": recipient_id,
                    "recipients": json.dumps([recipient_id]),
                    "thread_id": f"m{number}",
                    "request_id": f"request-{number}",
                }
            )
            deliveries.append(
                {
                    **self._delivery,
                    "agent_id": recipient_id,
                    "sequence": number,
                    "message_number": number,
                }
            )
        self._insert("messages", messages)
        self._insert("deliveries", deliveries)
        team_id = self._message["team_id"]
        self._connection.executemany(
            "UPDATE agents SET last_sequence = ?, unacknowledged_count = unacknowledged_count + 1"
            " WHERE team_id = ? AND agent_id = ?",
            [(each["sequence"], team_id, each["agent_id"]) for each in deliveries],
        )
        self._connection.execute(
            "UPDATE teams SET last_message = ?, last_time = ? WHERE team_id = ?",
            (number, time.time_ns() // 1_000, team_id),
        )
        self._connection.execute("COMMIT")

    def _first(self, table: str) -> dict[str, Any]:
        cursor = self._connection.execute(f"SELECT * FROM {table} LIMIT 1")
        row = cursor.fetchone()
        return dict(zip((column[0] for column in cursor.description), row, strict=True))

    def _insert(self, table: str, rows: Rows) -> None:
        columns, places = ", ".join(rows[0]), ", ".join("?" * len(rows[0]))
        statement = f"INSERT INTO {table} ({columns}) VALUES ({places})"
        self._connection.executemany(statement, [tuple(row.values()) for row in rows])


def main(path: str, group: str, seconds: str) -> None:
    """Write for so long, and print the trial."""
    is_new = not Path(path).exists()
    if is_new:
        asyncio.run(fill.backlog(f"sqlite:///{path}", _recipient(0), BODY, fill.AT_ONCE))
    with closing(Connection(path)) as connection:
        for name, value in PRAGMAS.items():
            connection.pragma(name, value)
        writer = Writer(connection)
        if is_new:
            writer.add_recipients()
        written, size = 0, int(group)
        with Span(Processes()) as span:
            end = time.perf_counter() + float(seconds)
            while time.perf_counter() < end:
                writer.commit_group(size)
                written += size
    print(json.dumps(asdict(Trial.of_count(span, written))))


def _recipient(number: int) -> str:
    return f"caller-{number}"


if __name__ == "__main__":
    main(*sys.argv[1:])
