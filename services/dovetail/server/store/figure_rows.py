"""The tables of kept figures, as Peewee models; a part of `schema.py`."""

from __future__ import annotations

from peewee import BigIntegerField, CompositeKey, IntegerField, TextField

from dovetail.server.store.queries import Model


class _AssigneeFigures(Model):
    """The tasks of one assignee, or of none: how many in which state, and how long they took.

    A sum of durations is kept as seconds and microseconds apart, so that it cannot overflow.
    """

    team_id = TextField()
    assignee_id = TextField()
    pending_tasks = BigIntegerField()
    in_progress_tasks = BigIntegerField()
    input_required_tasks = BigIntegerField()
    completed_tasks = BigIntegerField()
    failed_tasks = BigIntegerField()
    cancelled_tasks = BigIntegerField()
    task_seconds = BigIntegerField()
    task_micros = BigIntegerField()


class AssigneeFiguresRow(_AssigneeFigures):
    """The tasks of each assignee."""

    class Meta:
        table_name = "assignee_figures"
        primary_key = CompositeKey("team_id", "assignee_id")


class _DurationFigures(Model):
    """How many durations of one kind are in each of 16 neighbouring buckets, and their sum.

    Several buckets in a row (`sketches.py`), as a report reads all of them.
    """

    team_id = TextField()
    kind = IntegerField()
    page = IntegerField()
    bucket_0 = BigIntegerField()
    bucket_1 = BigIntegerField()
    bucket_2 = BigIntegerField()
    bucket_3 = BigIntegerField()
    bucket_4 = BigIntegerField()
    bucket_5 = BigIntegerField()
    bucket_6 = BigIntegerField()
    bucket_7 = BigIntegerField()
    bucket_8 = BigIntegerField()
    bucket_9 = BigIntegerField()
    bucket_10 = BigIntegerField()
    bucket_11 = BigIntegerField()
    bucket_12 = BigIntegerField()
    bucket_13 = BigIntegerField()
    bucket_14 = BigIntegerField()
    bucket_15 = BigIntegerField()
    seconds = BigIntegerField()
    micros = BigIntegerField()


class DurationFiguresRow(_DurationFigures):
    """The durations of all tasks."""

    class Meta:
        table_name = "duration_figures"
        primary_key = CompositeKey("team_id", "kind", "page")


class _UsageFigures(Model):
    """What the tasks of one assignee, or of none, used by one measure (`tables/shares.py`).

    A sum is kept as billions and the rest apart, so that it cannot overflow.
    """

    team_id = TextField()
    assignee_id = TextField()
    measure = TextField()
    billions = BigIntegerField()
    units = BigIntegerField()


class UsageFiguresRow(_UsageFigures):
    """What tasks used, by assignee."""

    class Meta:
        table_name = "usage_figures"
        primary_key = CompositeKey("team_id", "assignee_id", "measure")


class RemovedAssigneeFiguresRow(_AssigneeFigures):
    """What the tasks that were removed still add to the figures of their assignees."""

    class Meta:
        table_name = "removed_assignee_figures"
        primary_key = CompositeKey("team_id", "assignee_id")


class RemovedDurationFiguresRow(_DurationFigures):
    """What the tasks that were removed still add to the sketches."""

    class Meta:
        table_name = "removed_duration_figures"
        primary_key = CompositeKey("team_id", "kind", "page")


class RemovedUsageFiguresRow(_UsageFigures):
    """What the tasks that were removed still add to usage."""

    class Meta:
        table_name = "removed_usage_figures"
        primary_key = CompositeKey("team_id", "assignee_id", "measure")
