"""Query plans: what runs often finds its rows by an index, never by reading a whole table."""

from __future__ import annotations

from collections.abc import Callable, Generator

import pytest

from dovetail.server.store import changed_names
from dovetail.server.store.changed_names import Counters
from dovetail.server.store.engines.base import Engine
from dovetail.server.store.filters import TimeRange
from dovetail.server.store.idempotency import IdempotencyKey
from dovetail.server.store.schema import TABLES, TeamRow
from dovetail.server.store.search.queries import read_query
from dovetail.server.store.tables import (
    agents,
    attempts,
    deadlines,
    deliveries,
    endings,
    events,
    figures,
    groups,
    handouts,
    inboxes,
    message_heads,
    message_search,
    messages,
    open_work,
    overall,
    presence,
    reports,
    search,
    task_pages,
    task_search,
    tasks,
    unread_mail,
)
from dovetail.server.store.tables.delivery_states import DeliveryState
from dovetail.server.store.tables.events import EventFilter, TaskVerb
from dovetail.server.store.tables.handouts import Handout
from dovetail.server.store.tables.inboxes import PageRequest
from dovetail.server.store.tables.message_bytes import Importance
from dovetail.server.store.tables.message_search import MessageSearch
from dovetail.server.store.tables.messages import Message, MessageFilter
from dovetail.server.store.tables.search import Bite, Lag
from dovetail.server.store.tables.tasks import TaskFilter, TaskState
from dovetail.server.store.transaction import Statement, Transaction
from store.explaining import Explaining
from store.opened import TEAM, migrated

REPEAT = IdempotencyKey(request_id="r", request_hash=b"")
TABLE_NAMES = {str(table._meta.table_name) for table in TABLES}  # type: ignore[attr-defined]


@pytest.fixture
def engine(sqlite_url: str) -> Generator[Engine]:
    with migrated(sqlite_url) as engine:
        yield engine


def explained(engine: Engine, work: Callable[[Transaction], object]) -> list[str]:
    """The plan of all statements of a piece of work, in a team with an agent."""
    with engine.span("BEGIN IMMEDIATE", "COMMIT"):
        before = Explaining(engine)
        before.team(TEAM)
        agents.register(before.unit(TEAM), "bob")
        before.flush()
        group = Explaining(engine)
        group.team(TEAM)
        work(group.unit(TEAM))
        return group.plan


def inbox_page(filter: MessageFilter | None, include_acknowledged: bool) -> PageRequest:
    return PageRequest(
        agent_id="bob",
        after=0,
        include_acknowledged=include_acknowledged,
        filter=filter,
        most=256,
        most_bytes=65_536,
    )


def message_page(filter: MessageFilter, recipient_id: str = "") -> messages.ListRequest:
    return messages.ListRequest(
        party_id="",
        recipient_id=recipient_id,
        states=(DeliveryState.UNACKNOWLEDGED,) if recipient_id else (),
        filter=filter,
        newest_first=False,
        after=7,
        most=50,
        most_bytes=1_000_000,
    )


def task_page(filter: TaskFilter) -> task_pages.ListRequest:
    return task_pages.ListRequest(
        filter=filter, newest_first=False, after=7, most=50, most_bytes=1_000_000
    )


def event_stretch(**filter: object) -> events.StretchRequest:
    chosen = EventFilter(**filter)  # type: ignore[arg-type]
    return events.StretchRequest(filter=chosen, after=7, most=256, most_bytes=65_536)


def event_page(filter: EventFilter) -> events.ListRequest:
    return events.ListRequest(
        filter=filter, newest_first=False, after=7, most=50, most_bytes=1_000_000
    )


ATTEMPT_PAGE = attempts.ListRequest(
    task_id="t1", present=None, newest_first=True, after=7, most=50, most_bytes=1_000_000
)
GROUP_PAGE = groups.ListRequest(agent_id="bob", labels={}, after="a", most=50, most_bytes=1_000_000)
MESSAGE = Message(
    number=1,
    sender_id="bob",
    recipient_ids=("bob",),
    payload=b"",
)
FILTER = MessageFilter(sender_ids=["alice"], minimum_importance=Importance.NORMAL)

SEARCH = MessageSearch(
    query=read_query("red sh*"),
    party_id="bob",
    recipient_id="",
    filter=MessageFilter(create_time=TimeRange(start=7)),
    before=100,
    most=50,
    most_bytes=1_000_000,
)


def searched(transaction: Transaction) -> None:
    """A search in what is indexed, as far as it goes."""
    ours = TeamRow.team_id == transaction.team_id
    transaction.write(Statement(TeamRow.update({TeamRow.last_message: 9}).where(ours)))
    bite = Bite(after=0, through=1, documents=())
    assert message_search.MESSAGES.write(transaction, bite, ["ship"])
    message_search.page(transaction, SEARCH)
    search.forget_messages(transaction, [1])


HOT: dict[str, tuple[Callable[[Transaction], object], str]] = {
    "a page of an inbox": (
        lambda t: inboxes.page(t, inbox_page(None, False)),
        "deliveries_unacknowledged",
    ),
    "a page of a whole inbox": (
        lambda t: inboxes.page(t, inbox_page(None, True)),
        "sqlite_autoindex_deliveries_1",
    ),
    "a page of a filtered inbox": (
        lambda t: inboxes.page(t, inbox_page(FILTER, False)),
        "deliveries_unacknowledged",
    ),
    "receipts": (
        lambda t: deliveries.receipts(t, MESSAGE.number, MESSAGE.recipient_ids),
        "deliveries_message",
    ),
    "when a message was handed out": (
        lambda t: deliveries.receipts(t, MESSAGE.number, MESSAGE.recipient_ids),
        "PRIMARY KEY",
    ),
    "what was handed out already": (
        lambda t: handouts.record(t, "bob", [Handout(3, 9, 0.0)]),
        "PRIMARY KEY",
    ),
    "the delivery of a message that is replied to": (
        lambda t: deliveries.mark_message_seen(t, deliveries.need_of_message("bob", 1)),
        "deliveries_message",
    ),
    "which are unacknowledged": (
        lambda t: deliveries.unacknowledged(t, "bob", [1, 2, 3]),
        "deliveries",
    ),
    "acknowledging": (
        lambda t: deliveries.acknowledge(t, "bob", (1, 9), 1_000),
        "deliveries",
    ),
    "what has expired": (lambda t: endings.due(t), "deliveries_expiring"),
    "the deliveries of a message": (lambda t: endings.of_message(t, 1), "deliveries_message"),
    "who is not done with a message": (
        lambda t: endings.open_recipients(t, 1),
        "deliveries_message",
    ),
    "deliveries to be rejected": (
        lambda t: endings.of_inbox(t, "bob", [1, 2]),
        "sqlite_autoindex_deliveries_1",
    ),
    "what a cancelled task withdraws": (
        lambda t: endings.unread_notices(t, ["t1"], [TaskVerb.ASSIGN]),
        "deliveries_message",
    ),
    "the messages about a cancelled task": (
        lambda t: endings.unread_notices(t, ["t1"], [TaskVerb.ASSIGN]),
        "messages_task",
    ),
    "deadlines that have passed": (lambda t: deadlines.due(t), "PRIMARY KEY"),
    "heads of messages": (
        lambda t: message_heads.find_all(t, [1, 2]),
        "sqlite_autoindex_messages_1",
    ),
    "the versions of tasks": (
        lambda t: tasks.versions(t, ["t1", "t2"]),
        "sqlite_autoindex_tasks_1",
    ),
    "the repeat of a message": (
        lambda t: messages.find_repeat(t, "bob", REPEAT),
        "messages_request",
    ),
    "the repeat of a change of a task": (
        lambda t: events.find_repeat(t, "bob", REPEAT),
        "task_events_request",
    ),
    "a message": (lambda t: messages.find(t, 1), "sqlite_autoindex_messages_1"),
    "an agent": (lambda t: agents.find(t, "bob"), "sqlite_autoindex_agents_1"),
    "a task": (lambda t: tasks.find(t, "t1"), "sqlite_autoindex_tasks_1"),
    "the history of a task": (lambda t: events.of_task(t, "t1"), "task_events_task"),
    "a page of the history of a task": (
        lambda t: events.page(t, event_page(EventFilter(task_id="t1"))),
        "task_events_task",
    ),
    "a page of the history of a team": (
        lambda t: events.page(t, event_page(EventFilter(actor_ids=["bob"]))),
        "sqlite_autoindex_task_events_1",
    ),
    "what a watch of a team reads": (
        lambda t: events.stretch(t, event_stretch()),
        "sqlite_autoindex_task_events_1",
    ),
    "what a filtered watch reads": (
        lambda t: events.stretch(t, event_stretch(actor_ids=("bob",))),
        "sqlite_autoindex_task_events_1",
    ),
    "what a watch of a task reads": (
        lambda t: events.stretch(t, event_stretch(task_id="t1")),
        "task_events_task",
    ),
    "a page of the attempts of a task": (
        lambda t: attempts.page(t, ATTEMPT_PAGE),
        "sqlite_autoindex_task_attempts_1",
    ),
    "the attempt of a token": (
        lambda t: attempts.find_held(t, "t1", "x"),
        "sqlite_autoindex_task_attempts_1",
    ),
    "what changed since a look": (
        lambda t: changed_names.since(
            t, {TEAM: Counters(message=-1, event=-1, removals=-1)}, [(TEAM, "bob")]
        ),
        "deliveries_message",
    ),
    "recipients": (
        lambda t: agents.last_sequences(t, ["bob", "eve"]),
        "sqlite_autoindex_agents_1",
    ),
    "the groups to which a message is sent, and their members": (
        lambda t: t.need([*groups.need(["crew"]), *groups.need_members(["crew", "all"])]),
        "PRIMARY KEY (team_id=? AND group_id=?)",
    ),
    "the groups of an agent": (lambda t: groups.take_out(t, "bob"), "group_members_agent"),
    "the groups of a member, by page": (
        lambda t: groups.page(t, GROUP_PAGE),
        "group_members_agent",
    ),
    "what agents have open": (
        lambda t: presence.of_agents(t, ["bob", "eve"]),
        "PRIMARY KEY (team_id=? AND agent_id=?)",
    ),
    "the open tasks of an agent": (lambda t: open_work.of_agent(t, "bob"), "tasks_open"),
    "the open questions to an agent": (
        lambda t: open_work.of_agent(t, "bob"),
        "tasks_question",
    ),
    "the senders of unread mail": (
        lambda t: unread_mail.by_sender(t, "bob", 7),
        "deliveries_unacknowledged",
    ),
    "the messages of a thread": (
        lambda t: messages.page(t, message_page(MessageFilter(thread_id="m1"))),
        "messages_thread",
    ),
    "the messages about a task": (
        lambda t: messages.page(t, message_page(MessageFilter(task_id="t1"))),
        "messages_task",
    ),
    "the messages of an inbox": (
        lambda t: messages.page(t, message_page(MessageFilter(), "bob")),
        "deliveries_unacknowledged",
    ),
    "the tasks of an assignee": (
        lambda t: task_pages.page(t, task_page(TaskFilter(assignee_ids=["bob"]))),
        "tasks_assignee_order",
    ),
    "the tasks in a state": (
        lambda t: task_pages.page(t, task_page(TaskFilter(states=[TaskState.PENDING]))),
        "tasks_state",
    ),
    "the workload of an assignee": (
        lambda t: reports.workloads(t, TaskFilter(assignee_ids=["bob"])),
        "tasks_assignee",
    ),
    "the oldest open task of each assignee": (lambda t: figures.read(t, 10), "tasks_open"),
    "how far messages are indexed": (message_search.MESSAGES.lag, "sqlite_autoindex_teams_1"),
    "messages that are to be indexed": (
        lambda t: message_search._read_bite(t, Lag(1, 9)),
        "sqlite_autoindex_messages_1",
    ),
    "tasks that are to be indexed": (
        lambda t: task_search._read_bite(t, Lag(1, 9)),
        "sqlite_autoindex_task_events_1",
    ),
    "the words that begin in some way": (searched, "PRIMARY KEY (space=? AND word>? AND word<?)"),
    "when messages were sent": (searched, "sqlite_autoindex_messages_1"),
    "the oldest open question": (lambda t: figures.read(t, 10), "tasks_asked"),
}


@pytest.mark.parametrize(("work", "index"), HOT.values(), ids=HOT)
def test_what_runs_often_uses_its_index(
    engine: Engine, work: Callable[[Transaction], object], index: str
) -> None:
    plan = explained(engine, work)
    scans = [step for step in plan if step.startswith("SCAN") and names_a_table(step)]
    assert not scans, plan
    assert any(step.startswith("SEARCH") and index in step for step in plan), plan


@pytest.mark.parametrize(
    ("find", "index"),
    [(endings.teams_due, "deliveries_expiring"), (deadlines.teams_due, "PRIMARY KEY")],
)
def test_a_look_at_all_teams_reads_one_place_of_an_index_for_each(
    engine: Engine, find: Callable[..., list[str]], index: str
) -> None:
    plan = explained(engine, lambda t: find(t, 7, 10))
    of_teams, *others = [step for step in plan if names_a_table(step)]
    assert of_teams.startswith("SCAN"), plan
    assert all(step.startswith("SEARCH") and index in step for step in others), plan
    assert others


@pytest.mark.parametrize(
    ("find", "index"),
    [
        (overall.oldest_mail, "deliveries_unacknowledged"),
        (lambda t: overall.oldest_ready(t, 7), "tasks_state"),
    ],
)
def test_a_figure_of_the_whole_store_reads_one_place_of_an_index_for_each_agent_or_team(
    engine: Engine, find: Callable[[Transaction], object], index: str
) -> None:
    steps = [step for step in explained(engine, find) if names_a_table(step)]
    assert steps[-1].startswith("SEARCH"), steps
    assert index in steps[-1], steps
    assert not any("TEMP B-TREE" in step for step in explained(engine, find))


def names_a_table(step: str) -> bool:
    """Whether a step of a plan reads a table itself, under its name or Peewee's short one."""
    target = step.split()[1]
    return target in TABLE_NAMES or (target[:1] == "t" and target[1:].isdigit())


def test_a_whole_table_read_would_be_seen(engine: Engine) -> None:
    plan = explained(engine, lambda t: t._fetch("SELECT * FROM messages t1", []))
    assert any(step.startswith("SCAN") and names_a_table(step) for step in plan)
