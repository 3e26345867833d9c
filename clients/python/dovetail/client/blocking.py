"""The same client for code without asyncio: every call blocks until its response arrives.

    from dovetail.client.blocking import connect

    with connect("alice") as alice, connect("bob") as bob:
        bob.register()
        alice.send("bob", "Can you look at the parser?")
        for message in bob.receive():
            print(message.sender_id, message.body)
            message.acknowledge()
        task = alice.tasks.create("Fix the parser")
        alice.tasks.assign(task.task_id, "bob")
        bob.tasks.start(task.task_id)
        bob.tasks.complete(task.task_id, "Fixed: it now reads trailing commas")
        report = alice.tasks.report()
        print(report.completed_tasks, report.average_task_time)

There is no second implementation: all blocking clients of a process run on one event loop in a
thread of its own (gRPC does not support a second one), and every method here blocks on a method of
`dovetail.client`. Do not use it inside a coroutine: there, use `dovetail.client`.

A forked process (gunicorn's preload, celery's prefork, multiprocessing) must call `connect` again
for a client of its own. In it, clients of its parent raise RuntimeError.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    contextmanager,
)
from functools import partial, wraps
from typing import Any, ParamSpec, Self, TypeVar, Unpack

from dovetail import client
from dovetail.client import InboxMessage, MessageContent, WorkOptions, admin
from dovetail.client.background import Loop, process_loop
from dovetail.client.worker import Result

P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")


class ReceivedMessage(InboxMessage):
    """A delivery that can be acknowledged and replied to."""

    _acknowledge: Callable[[], None]
    _reply: Callable[..., client.SendResult]
    _attachment: Callable[[str], client.Attachment]

    def acknowledge(self) -> None:
        """Acknowledge the message. When this returns, that is on the server's disk."""
        self._acknowledge()

    def reply(self, body: str = "", **content: Unpack[MessageContent]) -> client.SendResult:
        """Reply to the sender, in the same thread. Does not acknowledge the message."""
        return self._reply(body, **content)

    def attachment(self, name: str) -> client.Attachment:
        """Return one of its attachments with its bytes."""
        return self._attachment(name)


class Inbox:
    """The messages of one inbox, in order, each once. Close it, preferably with `with`.

    Like `dovetail.client.Inbox`, it resumes automatically and does not end by itself.
    """

    def __init__(self, loop: Loop, inbox: client.Inbox) -> None:
        """Use `Agent.inbox`."""
        self._loop = loop
        self._inbox = inbox
        self._message = partial(_message, loop)
        self.close = loop.waiting(inbox.aclose)

    @property
    def through_sequence(self) -> int:
        """The cursor: all messages up to it arrived here, or do not match the request."""
        return self._inbox.through_sequence

    def __iter__(self) -> Iterator[ReceivedMessage]:
        """Iterate over messages as they arrive."""
        return map(self._message, self._loop.each(self._inbox))

    def backlog(self) -> Iterator[ReceivedMessage]:
        """Iterate over the messages that were there when it opened, without waiting for more."""
        return map(self._message, self._loop.each(self._inbox.backlog()))

    def __enter__(self) -> Inbox:
        """Return itself; the end of the block closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._loop.finish(self._inbox.aclose())


class TaskPages(Iterator[client.Task]):
    """The tasks of a listing, and where a watch goes on without a gap."""

    def __init__(self, loop: Loop, pages: client.TaskPages) -> None:
        """Use `Tasks.list`."""
        self._pages = pages
        self._tasks = loop.each(pages)

    @property
    def through_event(self) -> int | None:
        """The number of the team's last event when the first page was read; None before."""
        return self._pages.through_event

    def __next__(self) -> client.Task:
        """Return the next task."""
        return next(self._tasks)


class TaskWatch:
    """The events of tasks, in order, each once. Close it, preferably with `with`.

    Like `dovetail.client.TaskWatch`, it resumes automatically and does not end by itself.
    """

    def __init__(self, loop: Loop, watch: client.TaskWatch) -> None:
        """Use `Tasks.watch`."""
        self._loop = loop
        self._watch = watch
        self.close = loop.waiting(watch.aclose)

    @property
    def through_event(self) -> int:
        """The cursor to resume after: all up to it were returned, or do not match the request."""
        return self._watch.through_event

    def __iter__(self) -> Iterator[client.TaskEvent]:
        """Iterate over events as they arrive."""
        return self._loop.each(self._watch)

    def backlog(self) -> Iterator[client.TaskEvent]:
        """Iterate over the events that were there when it opened, without waiting for more."""
        return self._loop.each(self._watch.backlog())

    def __enter__(self) -> TaskWatch:
        """Return itself; the end of the block closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._loop.finish(self._watch.aclose())


class HeldTask:
    """A task that this agent holds: the methods of `dovetail.client.HeldTask`, blocking.

    A thread cannot be cancelled: when the lease is lost, every method raises LeaseLostError, and so
    does the end of the block.
    """

    def __init__(self, loop: Loop, task: client.HeldTask) -> None:
        """Use `Agent.claim` or `Agent.work`."""
        self._held = task
        self.progress = task.progress
        self.used = task.used
        self.result = task.result
        self.check = task.check
        self.attachment = loop.waiting(task.attachment)
        self.heartbeat = loop.waiting(task.heartbeat)
        self.ask = loop.waiting(task.ask)
        self.complete = loop.waiting(task.complete)
        self.fail = loop.waiting(task.fail)
        self.release = loop.waiting(task.release)

    @property
    def task(self) -> client.Task:
        """The task's state in the last response of a server."""
        return self._held.task

    @property
    def lost(self) -> client.DovetailError | None:
        """Why this agent no longer holds the task, once that is known."""
        return self._held.lost

    @property
    def budget_spent(self) -> bool:
        """Whether its budget, or that of a task that it is a part of, is spent, by a heartbeat."""
        return self._held.budget_spent

    @property
    def task_id(self) -> str:
        """The task's id."""
        return self._held.task_id

    @property
    def title(self) -> str:
        """What to do, in one line."""
        return self._held.title

    @property
    def description(self) -> str:
        """What to do, in full."""
        return self._held.description

    @property
    def input(self) -> Mapping[str, Any] | None:
        """The data the work starts from, or None."""
        return self._held.input


class Tasks:
    """The tasks of a team: the methods of `dovetail.client.Tasks`, blocking."""

    def __init__(self, loop: Loop, tasks: client.Tasks) -> None:
        """Use `connect`."""
        self.create = loop.waiting(tasks.create)
        self.create_many = loop.waiting(tasks.create_many)
        self.get = loop.waiting(tasks.get)
        self.list = _opening(loop, tasks.list, TaskPages)
        self.search = loop.iterating(tasks.search)
        self.events = loop.iterating(tasks.events)
        self.watch = _opening(loop, tasks.watch, TaskWatch)
        self.attempts = loop.iterating(tasks.attempts)
        self.attachment = loop.waiting(tasks.attachment)
        self.update = loop.waiting(tasks.update)
        self.delete = loop.waiting(tasks.delete)
        self.assign = loop.waiting(tasks.assign)
        self.unassign = loop.waiting(tasks.unassign)
        self.claim = loop.waiting(tasks.claim)
        self.start = loop.waiting(tasks.start)
        self.start_leased = loop.waiting(tasks.start_leased)
        self.heartbeat = loop.waiting(tasks.heartbeat)
        self.release = loop.waiting(tasks.release)
        self.ask = loop.waiting(tasks.ask)
        self.answer = loop.waiting(tasks.answer)
        self.complete = loop.waiting(tasks.complete)
        self.complete_as = loop.waiting(tasks.complete_as)
        self.complete_many = loop.waiting(tasks.complete_many)
        self.fail = loop.waiting(tasks.fail)
        self.cancel = loop.waiting(tasks.cancel)
        self.reopen = loop.waiting(tasks.reopen)
        self.report = loop.waiting(tasks.report)


class _Closing:
    """A client that the end of its block closes."""

    close: Callable[[], None]
    """Close the connections. Calls under way are cancelled, and open inboxes end."""

    def __enter__(self) -> Self:
        """Return itself; the end of the block closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


class Agent(_Closing):
    """A member of a team: the methods of `dovetail.client.Agent`, blocking."""

    def __init__(self, loop: Loop, agent: client.Agent) -> None:
        """Use `connect`."""
        self.close = loop.finishing(agent.close)
        self.agent_id = agent.agent_id
        self.tasks = Tasks(loop, agent.tasks)
        self.register = loop.waiting(agent.register)
        self.agent = loop.waiting(agent.agent)
        self.agents = loop.iterating(agent.agents)
        self.update_agent = loop.waiting(agent.update_agent)
        self.remove_agent = loop.waiting(agent.remove_agent)
        self.put_group = loop.waiting(agent.put_group)
        self.group = loop.waiting(agent.group)
        self.groups = loop.iterating(agent.groups)
        self.delete_group = loop.waiting(agent.delete_group)
        self.send = loop.waiting(agent.send)
        self.send_many = loop.waiting(agent.send_many)
        self.ask = _converting(loop.waiting(agent.ask), partial(_message, loop))
        self.reply = loop.waiting(agent.reply)
        self.receive = _converting(loop.waiting(agent.receive), partial(_messages, loop))
        self.inbox = _opening(loop, agent.inbox, Inbox)
        self.acknowledge = loop.waiting(agent.acknowledge)
        self.reject = loop.waiting(agent.reject)
        self.withdraw = loop.waiting(agent.withdraw)
        self.mark_seen = loop.waiting(agent.mark_seen)
        self.message = loop.waiting(agent.message)
        self.attachment = loop.waiting(agent.attachment)
        self.receipts = loop.iterating(agent.receipts)
        self.messages = loop.iterating(agent.messages)
        self.search = loop.iterating(agent.search)
        self.claim = _holding(loop, agent.claim)
        self._loop = loop
        self._agent = agent

    def work(self, handler: Callable[[HeldTask], Result], **options: Unpack[WorkOptions]) -> None:
        """Run `handler(task)` in threads on each ready task, until it is interrupted."""

        def handle(task: client.HeldTask) -> Result:
            return handler(HeldTask(self._loop, task))

        self._loop.run_to_end(self._agent.work(handle, **options))


class Admin(_Closing):
    """Creates teams and credentials: the methods of `dovetail.client.admin.Admin`, blocking."""

    def __init__(self, loop: Loop, admin: admin.Admin) -> None:
        """Use `connect_admin`."""
        self.close = loop.finishing(admin.close)
        self.create_team = loop.waiting(admin.create_team)
        self.teams = loop.iterating(admin.teams)
        self.team = loop.waiting(admin.team)
        self.set_retention = loop.waiting(admin.set_retention)
        self.set_limits = loop.waiting(admin.set_limits)
        self.set_loop_limits = loop.waiting(admin.set_loop_limits)
        self.create_token = loop.waiting(admin.create_token)
        self.credentials = loop.iterating(admin.credentials)
        self.rotate = loop.waiting(admin.rotate)
        self.revoke = loop.waiting(admin.revoke)


def _message(loop: Loop, received: client.ReceivedMessage) -> ReceivedMessage:
    """The same message with blocking methods."""
    content = {name: getattr(received, name) for name in InboxMessage.field_names}
    return ReceivedMessage(
        **content,
        _acknowledge=loop.waiting(received.acknowledge),
        _reply=loop.waiting(received.reply),
        _attachment=loop.waiting(received.attachment),
    )


def _messages(loop: Loop, received: Iterable[client.ReceivedMessage]) -> list[ReceivedMessage]:
    return [_message(loop, each) for each in received]


def _converting(method: Callable[P, T], convert: Callable[[T], U]) -> Callable[P, U]:
    """The method, with its result converted."""

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> U:
        return convert(method(*args, **kwargs))

    return call


def _opening(loop: Loop, method: Callable[P, T], wrap: Callable[[Loop, T], U]) -> Callable[P, U]:
    """The method, which is called on the loop, with its result wrapped."""

    async def on_loop(*args: P.args, **kwargs: P.kwargs) -> T:
        return method(*args, **kwargs)

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> U:
        return wrap(loop, loop.run(on_loop(*args, **kwargs)))

    return call


def _holding(
    loop: Loop, method: Callable[P, AbstractAsyncContextManager[client.HeldTask]]
) -> Callable[P, AbstractContextManager[HeldTask]]:
    @wraps(method)
    @contextmanager
    def hold(*args: P.args, **kwargs: P.kwargs) -> Generator[HeldTask]:
        with loop.entered(method(*args, **kwargs)) as task:
            yield HeldTask(loop, task)

    return hold


def _connecting(method: Callable[P, T], wrap: Callable[[Loop, T], U]) -> Callable[P, U]:
    @wraps(method)
    def connect(*args: P.args, **kwargs: P.kwargs) -> U:
        return wrap(process_loop(), method(*args, **kwargs))

    return connect


connect = _connecting(client.connect, Agent)
connect_admin = _connecting(admin.connect_admin, Admin)
