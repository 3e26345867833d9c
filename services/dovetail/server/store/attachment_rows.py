"""The tables of attachments, as Peewee models; a part of `schema.py`."""

from __future__ import annotations

from peewee import BigIntegerField, BlobField, CompositeKey, TextField

from dovetail.server.store.queries import Model


class MessageAttachmentRow(Model):
    """An attachment of a message: `data`, or the `url` of a reference."""

    team_id = TextField()
    message_number = BigIntegerField()
    name = TextField()
    media_type = TextField()
    size = BigIntegerField()
    sha256 = BlobField()
    url = TextField()
    data = BlobField(null=True)

    class Meta:
        table_name = "message_attachments"
        primary_key = CompositeKey("team_id", "message_number", "name")


class TaskAttachmentRow(Model):
    """An attachment of a task: of the result, or late result, of the attempt that an event began.

    With event 0, which is none: of the task's input. The rows of task and attempt say the same of
    it, but for its bytes.
    """

    team_id = TextField()
    task_id = TextField()
    start_event = BigIntegerField()
    name = TextField()
    media_type = TextField()
    size = BigIntegerField()
    sha256 = BlobField()
    url = TextField()
    data = BlobField(null=True)

    class Meta:
        table_name = "task_attachments"
        primary_key = CompositeKey("team_id", "task_id", "start_event", "name")
