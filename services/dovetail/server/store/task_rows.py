"""The tables of what belongs to tasks, as Peewee models; a part of `schema.py`."""

from __future__ import annotations

from peewee import BigIntegerField, CompositeKey, IntegerField, TextField

from dovetail.server.store.queries import Model


class TaskDependencyRow(Model):
    """One task waits for another. `tasks.depends_on` repeats it, to be read with the task."""

    team_id = TextField()
    task_id = TextField()
    depends_on_id = TextField()

    class Meta:
        table_name = "task_dependencies"
        primary_key = CompositeKey("team_id", "task_id", "depends_on_id")


class TaskLinkRow(Model):
    """The task with this number links to another: `tasks.links` says how."""

    team_id = TextField()
    linked_task_id = TextField()
    number = BigIntegerField()

    class Meta:
        table_name = "task_links"
        primary_key = CompositeKey("team_id", "linked_task_id", "number")


class TaskFollowUpRow(Model):
    """A change whose effect on the tasks that wait for its task is not yet complete."""

    team_id = TextField()
    event_number = BigIntegerField()
    task_id = TextField()
    verb = TextField()
    actor_id = TextField()
    notify = IntegerField()
    after_number = BigIntegerField()

    class Meta:
        table_name = "task_follow_ups"
        primary_key = CompositeKey("team_id", "event_number")


class TaskAttemptRow(Model):
    """One time that a task was started, written when it ended, by the event that began it.

    `late_verb` is COMPLETE or FAIL if its holder brought a result or failure later, otherwise 0.
    """

    team_id = TextField()
    task_id = TextField()
    start_event = BigIntegerField()
    attempt = IntegerField()
    holder_id = TextField()
    start_time = BigIntegerField()
    end_event = BigIntegerField()
    end_time = BigIntegerField()
    ending = IntegerField()
    reason = TextField()
    failure_text = TextField()
    failure_data = TextField(null=True)
    retryable = IntegerField()
    progress_percent = IntegerField(null=True)
    progress_note = TextField()
    token_hash = TextField()
    late_verb = IntegerField()
    late_time = BigIntegerField(null=True)
    late_text = TextField()
    late_data = TextField(null=True)
    late_retryable = IntegerField()
    usage = TextField(null=True)
    late_attachments = TextField()

    class Meta:
        table_name = "task_attempts"
        primary_key = CompositeKey("team_id", "task_id", "start_event")
