"""The tables of what cleans the store, as Peewee models; a part of `schema.py`."""

from __future__ import annotations

from peewee import BigIntegerField, CompositeKey, IntegerField, TextField

from dovetail.server.store.queries import Model


class CleaningPositionRow(Model):
    """How far the cleaner has looked through the rows of a team, in one of its ways.

    By number, or by time and number (`removal/fronts.py`).
    """

    team_id = TextField()
    front = IntegerField()
    number = BigIntegerField()
    time = BigIntegerField()

    class Meta:
        table_name = "cleaning_positions"
        primary_key = CompositeKey("team_id", "front")


class DutyRow(Model):
    """Work that one server at a time does for all teams; `turn` grows while it does."""

    team_id = TextField()
    duty = TextField()
    holder_id = TextField()
    turn = BigIntegerField()

    class Meta:
        table_name = "duties"
        primary_key = CompositeKey("team_id", "duty")
