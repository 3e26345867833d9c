"""The tables, as Peewee models. `migrations/` creates them; a test proves that both agree.

`team_id` comes first in every primary key and index, so that teams can be spread over machines. The
exceptions are credentials, which lead to a caller's team, the indexes on due tasks and on deadlines
of questions, which a server reads for all teams at once, and the table of applied migrations.
Times are integer microseconds since 1970 UTC, absent ids are empty strings, enums are the numbers
of the contract, labels and data are JSON text.
"""

from __future__ import annotations

from peewee import BigIntegerField, BlobField, CompositeKey, IntegerField, TextField

from dovetail.server.store.attachment_rows import MessageAttachmentRow, TaskAttachmentRow
from dovetail.server.store.cleaning_rows import CleaningPositionRow, DutyRow
from dovetail.server.store.directory_rows import (
    AgentGroupRow,
    GroupMemberRow,
    PresenceRow,
    ServerProcessRow,
)
from dovetail.server.store.figure_rows import (
    AssigneeFiguresRow,
    DurationFiguresRow,
    RemovedAssigneeFiguresRow,
    RemovedDurationFiguresRow,
    RemovedUsageFiguresRow,
    UsageFiguresRow,
)
from dovetail.server.store.queries import Model
from dovetail.server.store.task_rows import (
    TaskAttemptRow,
    TaskDependencyRow,
    TaskFollowUpRow,
    TaskLinkRow,
)
from dovetail.server.store.thread_rows import ThreadHourRow


class TeamRow(Model):
    """A team's counters. On PostgreSQL this row is the lock that makes a team's writes serial.

    The row of the empty id belongs to no team: it counts the changes of teams and credentials.
    `removal_count` grows with each removal of an agent, so that servers see that there was one.
    The counts are of what is kept, their bytes as limits count them. `removed_event` is the highest
    event that was removed; tasks that ended at `tasks_complete_since` or later are all kept.
    """

    team_id = TextField(primary_key=True)
    last_message = BigIntegerField()
    last_task = BigIntegerField()
    last_event = BigIntegerField()
    last_time = BigIntegerField()
    create_time = BigIntegerField(null=True)
    removal_count = BigIntegerField()
    max_loop_hops = IntegerField(null=True)
    max_loop_thread_messages = IntegerField(null=True)
    max_loop_depth = IntegerField(null=True)
    max_away = BigIntegerField(null=True)
    message_count = BigIntegerField()
    message_bytes = BigIntegerField()
    notice_count = BigIntegerField()
    notice_bytes = BigIntegerField()
    max_inbox_messages = BigIntegerField(null=True)
    max_inbox_bytes = BigIntegerField(null=True)
    max_messages = BigIntegerField(null=True)
    max_bytes = BigIntegerField(null=True)
    retention = TextField(null=True)
    removed_message_count = BigIntegerField()
    removed_task_count = BigIntegerField()
    removed_event = BigIntegerField()
    tasks_complete_since = BigIntegerField(null=True)

    class Meta:
        table_name = "teams"


class CredentialRow(Model):
    """What a token stands for. `change_number` grows with each change, and is visible in order."""

    credential_id = TextField(primary_key=True)
    number = BigIntegerField(unique=True)
    change_number = BigIntegerField()
    team_id = TextField()
    agent_id = TextField()
    role = IntegerField()
    token_hash = BlobField(unique=True)
    description = TextField()
    create_time = BigIntegerField()
    lifetime = BigIntegerField(null=True)
    expire_time = BigIntegerField(null=True)
    revoke_time = BigIntegerField(null=True)
    creator_id = TextField()
    revoker_id = TextField()
    rotated_id = TextField()

    class Meta:
        table_name = "credentials"


class AgentRow(Model):
    """An agent and the counters of its inbox. One that was removed has a `remove_time`.

    Mail is what is open and no notice. What was removed of the inbox is counted, also how much of
    it was acknowledged, with the highest sequence of what was and of what was still open.
    """

    team_id = TextField()
    agent_id = TextField()
    display_name = TextField()
    labels = TextField()
    create_time = BigIntegerField()
    last_seen_time = BigIntegerField()
    last_sequence = BigIntegerField()
    unacknowledged_count = BigIntegerField()
    acknowledged_count = BigIntegerField()
    acknowledge_micros = BigIntegerField()
    kind = IntegerField()
    version = BigIntegerField()
    remove_time = BigIntegerField(null=True)
    mail_count = BigIntegerField()
    mail_bytes = BigIntegerField()
    removed_count = BigIntegerField()
    removed_acknowledged_count = BigIntegerField()
    removed_acknowledged = BigIntegerField()
    removed_unacknowledged = BigIntegerField()

    class Meta:
        table_name = "agents"
        primary_key = CompositeKey("team_id", "agent_id")


class MessageRow(Model):
    """A message, as sent. `number` is in its id "m<number>", and the order of all listings.

    `request_id` is the key of the request (`idempotency.IdempotencyKey`), here and in events.
    `payload` is the message in bytes, as it is delivered; `subject`, `body` and `data` are empty
    then. In rows from before migration 6 it is NULL, and they have the content.
    """

    team_id = TextField()
    number = BigIntegerField()
    sender_id = TextField()
    recipients = TextField()
    subject = TextField()
    body = TextField()
    data = TextField(null=True)
    importance = IntegerField()
    kind = IntegerField()
    thread_id = TextField()
    in_reply_to = TextField()
    task_id = TextField()
    labels = TextField()
    notice = TextField(null=True)
    create_time = BigIntegerField()
    size = IntegerField()
    request_id = TextField(null=True)
    request_hash = BlobField(null=True)
    payload = BlobField(null=True)
    cause_number = BigIntegerField(null=True)

    class Meta:
        table_name = "messages"
        primary_key = CompositeKey("team_id", "number")


class DeliveryRow(Model):
    """A message in one recipient's inbox. `size` is what it takes of a limit: a notice takes 0.

    It is open until it has an `acknowledge_time`, which is when it ended, in whatever way: `ending`
    is NULL where it was acknowledged, else the state that it ended in. `expire_time` is that of its
    message, and so are `hop_count` and `depth`: NULL is 0.
    """

    team_id = TextField()
    agent_id = TextField()
    sequence = BigIntegerField()
    message_number = BigIntegerField()
    size = IntegerField()
    create_time = BigIntegerField()
    see_time = BigIntegerField(null=True)
    acknowledge_time = BigIntegerField(null=True)
    ending = IntegerField(null=True)
    reason = TextField(null=True)
    expire_time = BigIntegerField(null=True)
    hop_count = IntegerField(null=True)
    depth = IntegerField(null=True)

    class Meta:
        table_name = "deliveries"
        primary_key = CompositeKey("team_id", "agent_id", "sequence")


class MessageDeadlineRow(Model):
    """When the sender of a message is told who is not done with it. Removed once that is told."""

    team_id = TextField()
    deadline_time = BigIntegerField()
    message_number = BigIntegerField()

    class Meta:
        table_name = "message_deadlines"
        primary_key = CompositeKey("team_id", "deadline_time", "message_number")


class HandoutRow(Model):
    """Deliveries of an inbox that were handed out by a time. Spans of one inbox are disjoint."""

    team_id = TextField()
    agent_id = TextField()
    last_sequence = BigIntegerField()
    first_sequence = BigIntegerField()
    send_time = BigIntegerField()

    class Meta:
        table_name = "handouts"
        primary_key = CompositeKey("team_id", "agent_id", "last_sequence")


class TaskRow(Model):
    """A task as it is now. The state tells whether the outcome is a result, failure or reason.

    The last failure is that of the last attempt that was followed by another.

    `waiting_for_count` counts the dependencies that are not COMPLETED. `lease_count` grows with
    each heartbeat, which is how the servers see that the holder is alive. `start_event` began the
    last attempt. `usage` sums up all attempts, `tree_usage` those of its sub-tasks too; as many
    budgets of its own or of tasks that it is a part of are spent as `spent_budgets` says.
    """

    team_id = TextField()
    task_id = TextField()
    number = BigIntegerField()
    version = BigIntegerField()
    title = TextField()
    description = TextField()
    state = IntegerField()
    assignee_id = TextField()
    creator_id = TextField()
    priority = IntegerField()
    labels = TextField()
    thread_id = TextField()
    input = TextField(null=True)
    outcome_text = TextField()
    outcome_data = TextField(null=True)
    attempt = IntegerField()
    create_time = BigIntegerField()
    update_time = BigIntegerField()
    assign_time = BigIntegerField(null=True)
    start_time = BigIntegerField(null=True)
    end_time = BigIntegerField(null=True)
    due_time = BigIntegerField(null=True)
    delete_time = BigIntegerField(null=True)
    depends_on = TextField()
    parent_task_id = TextField()
    waiting_for_count = IntegerField()
    pooled = IntegerField()
    schedule_time = BigIntegerField(null=True)
    max_attempts = IntegerField()
    failed_attempts = IntegerField()
    initial_backoff = BigIntegerField()
    lease_token = TextField()
    lease_duration = BigIntegerField()
    lease_count = BigIntegerField()
    lease_expire_time = BigIntegerField(null=True)
    lease_event = BigIntegerField()
    progress_percent = IntegerField(null=True)
    progress_note = TextField()
    asked_id = TextField()
    question_agent_id = TextField()
    question_text = TextField()
    question_data = TextField(null=True)
    ask_time = BigIntegerField(null=True)
    answered = IntegerField()
    answer_text = TextField()
    answer_data = TextField(null=True)
    input_wait = BigIntegerField()
    overdue_told = IntegerField()
    last_failure_text = TextField()
    last_failure_data = TextField(null=True)
    event_count = BigIntegerField()
    links = TextField()
    start_event = BigIntegerField()
    usage = TextField(null=True)
    attempt_usage = TextField(null=True)
    tree_usage = TextField(null=True)
    max_tokens = BigIntegerField()
    max_cost = TextField()
    spent_budgets = IntegerField()
    budget_told = IntegerField()
    away_told = IntegerField()
    input_attachments = TextField()
    outcome_attachments = TextField()
    question_options = TextField()
    question_deadline_time = BigIntegerField(null=True)
    default_answer = TextField()
    answer_option = TextField()
    answer_is_default = IntegerField()

    class Meta:
        table_name = "tasks"
        primary_key = CompositeKey("team_id", "task_id")


class TaskEventRow(Model):
    """One numbered change of a task, with its request, and the message of its notice."""

    team_id = TextField()
    number = BigIntegerField()
    task_id = TextField()
    verb = TextField()
    actor_id = TextField()
    from_state = IntegerField()
    to_state = IntegerField()
    assignee_id = TextField()
    former_assignee_id = TextField()
    reason = TextField()
    create_time = BigIntegerField()
    message_number = BigIntegerField(null=True)
    request_id = TextField(null=True)
    request_hash = BlobField(null=True)
    generation = BigIntegerField()
    attempt = IntegerField()
    changes = TextField(null=True)

    class Meta:
        table_name = "task_events"
        primary_key = CompositeKey("team_id", "number")


class SearchProgressRow(Model):
    """How far the documents of one kind in a team are indexed: all up to a message, or event.

    `space` is what tells their words from those of all others in the index (`search/index.py`).
    """

    team_id = TextField()
    kind = IntegerField()
    space = BigIntegerField()
    through_number = BigIntegerField()

    class Meta:
        table_name = "search_progress"
        primary_key = CompositeKey("team_id", "kind")


TABLES: tuple[type[Model], ...] = (
    TeamRow,
    CredentialRow,
    AgentRow,
    AgentGroupRow,
    GroupMemberRow,
    PresenceRow,
    ServerProcessRow,
    MessageRow,
    DeliveryRow,
    MessageDeadlineRow,
    HandoutRow,
    ThreadHourRow,
    MessageAttachmentRow,
    TaskRow,
    TaskDependencyRow,
    TaskLinkRow,
    TaskEventRow,
    TaskFollowUpRow,
    TaskAttemptRow,
    TaskAttachmentRow,
    AssigneeFiguresRow,
    DurationFiguresRow,
    UsageFiguresRow,
    SearchProgressRow,
    RemovedAssigneeFiguresRow,
    RemovedDurationFiguresRow,
    RemovedUsageFiguresRow,
    CleaningPositionRow,
    DutyRow,
)

INDEX_NAMES = ("search_documents", "search_vocabulary")
"""Tables of the index of words, which have no model: it differs between databases."""

TABLE_NAMES = [*(str(table._meta.table_name) for table in TABLES), *INDEX_NAMES]
