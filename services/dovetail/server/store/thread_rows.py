"""The table of what is said in threads, as a Peewee model; a part of `schema.py`."""

from __future__ import annotations

from peewee import BigIntegerField, CompositeKey, IntegerField, TextField

from dovetail.server.store.queries import Model


class ThreadHourRow(Model):
    """What agents sent in a thread since `begin_time`, without a person; removed after an hour.

    `told`: whoever began the thread knows already that it looks like a loop.
    """

    team_id = TextField()
    thread_id = TextField()
    begin_time = BigIntegerField()
    message_count = IntegerField()
    told = IntegerField()

    class Meta:
        table_name = "thread_hours"
        primary_key = CompositeKey("team_id", "thread_id")
