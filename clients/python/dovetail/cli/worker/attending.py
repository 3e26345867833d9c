"""Attending to an inbox: a program runs for each batch of messages, thread by thread."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum, auto
from typing import Any

from dovetail.bridges.senders import labels_of
from dovetail.cli.options.calling import Session
from dovetail.cli.output.exit_codes import CommandError
from dovetail.cli.output.failures import describe
from dovetail.cli.output.text import escape_controls
from dovetail.cli.worker import programs, turns
from dovetail.cli.worker.display import Display, Shown
from dovetail.cli.worker.preparing import ProgramOptions, prepared
from dovetail.cli.worker.programs import NotStartedError, Program
from dovetail.cli.worker.replying import end_turn, lasting, reply_of
from dovetail.cli.worker.stopping import Stopping
from dovetail.cli.worker.turns import Place, Turn
from dovetail.client import (
    Agent,
    DovetailError,
    Inbox,
    NotFoundError,
    ReceivedMessage,
    WorkFailedError,
)

MESSAGES_MAX = 50
"""How many messages a program reads in one turn."""

TURN_BYTES = 1024 * 1024
"""A turn ends with the message that reaches this size."""

THREADS_MAX = 1_000
"""How many threads with new messages are remembered. Then the inbox is read no further."""

ASIDE_MAX = 100
"""How many messages may be left aside. With more the command ends: something is wrong with it."""

BACKOFF_SECONDS = 1.0
BACKOFF_SECONDS_MAX = 60.0

MARKS = {
    "started": ("▶", "blue"),
    "replied": ("✔", "green"),
    "read": ("✔", "green"),
    "retried": ("↻", "yellow"),
    "left aside": ("✘", "red"),
    "released": ("○", "yellow"),
}
"""The events of a turn, as people see them."""


@dataclass(frozen=True, kw_only=True)
class Attendance:
    """The program that reads the mail, and how: the options of the command."""

    program: ProgramOptions
    concurrency: int
    as_text: bool
    with_session: bool
    attempts: int
    hops_max: int
    max_turns: int | None
    until_idle: timedelta | None
    grace: timedelta


async def attend_to_inbox(session: Session, options: Attendance) -> None:
    """Attend until a signal, or one of the limits, ends it."""
    with prepared(session, options.program, MARKS) as (program, display):
        known = await session.agent.register()
        # A token does not say its team: then the address keeps the sessions of teams apart.
        team_id = session.known_team_id or session.servers.messaging
        place = Place(team_id=team_id, agent_id=known.agent_id, thread_id="")
        await _Attendant(session.agent, place, _Runner(program, display, options)).run()


class _Ended(Enum):
    """What became of a turn: it is done with, to be tried again, or there was nothing to read."""

    DONE = auto()
    FAILED = auto()
    NOTHING = auto()


@dataclass(frozen=True, slots=True)
class _Runner:
    """The program, what shows its turns, and the options."""

    program: Program
    display: Display
    options: Attendance


class _Attendant:
    """Runs turns, at most one for each thread at a time, until it is stopped.

    The stream of the inbox carries no truth: it only says which threads to look at. What a turn has
    is read when it starts, so nothing that was acknowledged meanwhile is in it.
    """

    def __init__(self, agent: Agent, place: Place, runner: _Runner) -> None:
        self._agent = agent
        self._place = place
        self._runner = runner
        options = runner.options
        self._left = options.max_turns
        self._places = asyncio.Semaphore(options.concurrency)
        self._threads: dict[str, asyncio.Event] = {}
        """Those that are attended to; set when there is something new in one, or the end comes."""
        self._doing = set[asyncio.Task[None]]()
        self._changed = asyncio.Event()
        """Set when a thread was attended to."""
        self._stop = asyncio.Event()
        self._signals = Stopping(options.grace.total_seconds(), self._signalled, self._release_all)
        self._failing: dict[str, str] = {}
        self._aside: dict[int, str] = {}
        self._fault: Exception | None = None

    async def run(self) -> None:
        """Attend. Raises what ended it, and CommandError if messages are left by its own end."""
        self._signals.listen()
        reaping = asyncio.create_task(self._runner.program.families.keep_reaping())
        reading = asyncio.create_task(self._read())
        try:
            await self._stop.wait()
            while self._doing:
                await asyncio.wait(self._doing)
        finally:
            reaping.cancel()
            reading.cancel()
            await asyncio.wait((reaping, reading))
        if self._fault:
            raise self._fault
        self._complain()

    def _complain(self) -> None:
        """Raise CommandError if it ended by itself, and left what it had tried."""
        why = next(iter(self._failing.values()), "")
        if why and not self._signals.asked.is_set():
            raise CommandError(f"messages are left unacknowledged: {_first_line(why)}")

    async def _read(self) -> None:
        """Read the inbox, and see to it that each thread in it is attended to."""
        idle = self._runner.options.until_idle
        try:
            async with self._agent.inbox(self._place.agent_id) as inbox:
                while await self._next(inbox, idle.total_seconds() if idle else None):
                    pass
            self._end()
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends the command
            self._fail(error)

    async def _next(self, inbox: Inbox, idle: float | None) -> bool:
        """Take one message from the inbox; returns False if there is nothing to do for long."""
        while len(self._threads) >= THREADS_MAX:
            self._changed.clear()
            await self._changed.wait()
        try:
            async with asyncio.timeout(idle):
                message = await anext(inbox)
        except TimeoutError:
            return bool(self._threads)
        thread_id = message.thread_id
        if thread_id not in self._threads:
            self._threads[thread_id] = asyncio.Event()
            task = asyncio.create_task(self._attend(thread_id))
            self._doing.add(task)
            task.add_done_callback(self._doing.discard)
        self._threads[thread_id].set()
        return True

    async def _attend(self, thread_id: str) -> None:
        """Run turns at a thread until there is nothing more to read in it.

        What failed waits for its next attempt. A new message ends that wait, as it may change all,
        and the attempts are counted anew: so there are at most so many for each message.
        """
        news, attempt = self._threads[thread_id], 1
        try:
            while not self._stop.is_set():
                async with self._places:
                    news.clear()
                    ended = await self._take_turn(thread_id, attempt)
                if ended is _Ended.FAILED:
                    attempt = 1 if await self._pause(news, attempt) else attempt + 1
                elif ended is _Ended.NOTHING and not news.is_set():
                    return
                else:
                    attempt = 1
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends the command
            self._fail(error)
        finally:
            del self._threads[thread_id]
            self._changed.set()

    async def _pause(self, news: asyncio.Event, attempt: int) -> bool:
        """Wait after an attempt. Returns whether something new came before the time was over."""
        pause = min(BACKOFF_SECONDS * 2 ** (attempt - 1), BACKOFF_SECONDS_MAX)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                return await news.wait()
        return False

    async def _take_turn(self, thread_id: str, attempt: int) -> _Ended:
        """Run a turn, if there is anything to read."""
        if self._stop.is_set():
            return _Ended.NOTHING
        turn = await self._look(thread_id, attempt)
        if not turn.messages:
            return _Ended.NOTHING
        if turn.hops >= self._runner.options.hops_max:
            self._leave_aside(turn, f"programs have answered each other {turn.hops} times")
            return _Ended.DONE
        return await self._run(turn) if self._may_begin() else _Ended.NOTHING

    async def _look(self, thread_id: str, attempt: int) -> Turn:
        """What is unacknowledged in a thread now, but for what was left aside."""
        messages: list[ReceivedMessage] = []
        size = 0
        async with self._agent.inbox(self._place.agent_id, thread_id=thread_id) as inbox:
            async for each in inbox.backlog():
                if each.sequence in self._aside:
                    continue
                messages.append(each)
                size += each.delivery.ByteSize()
                if len(messages) >= MESSAGES_MAX or size >= TURN_BYTES:
                    break
        place = replace(self._place, thread_id=thread_id)
        return Turn(place=place, messages=messages, attempt=attempt)

    def _may_begin(self) -> bool:
        """Whether a turn may start; after the last one no other does."""
        if self._stop.is_set() or self._left is None:
            return not self._stop.is_set()
        self._left -= 1
        if self._left == 0:
            self._end()
        return True

    async def _run(self, turn: Turn) -> _Ended:
        display, shown = self._runner.display, _shown(turn)
        display.begin("started", shown)
        try:
            await self._run_program(turn)
            return _Ended.DONE
        except asyncio.CancelledError:
            display.end("released", shown)
            raise
        except NotStartedError as error:
            display.end("released", shown, str(error))
            raise CommandError(str(error)) from error
        except WorkFailedError as failure:
            return await self._failed(turn, failure, retryable=failure.retryable)
        except DovetailError as error:  # The servers refuse the reply, and would again.
            return await self._failed(turn, error, retryable=False)

    async def _run_program(self, turn: Turn) -> None:
        options = self._runner.options
        stdin = turns.as_text(turn, await self._labels(turn)) if options.as_text else None
        errand = turns.errand(turn, stdin or turns.as_json(turn), with_session=options.with_session)
        reply = reply_of(await programs.run(self._runner.program, errand))
        event = await end_turn(self._agent, turn, reply)
        self._failing.pop(turn.place.thread_id, None)
        self._runner.display.end(event, _shown(turn), reply)

    async def _labels(self, turn: Turn) -> dict[str, Mapping[str, str]]:
        """The labels of the senders, as far as the directory has them."""
        found: dict[str, Mapping[str, str]] = {}
        for sender_id in {each.sender_id for each in turn.messages} - {""}:
            with contextlib.suppress(NotFoundError):
                sender = await lasting(lambda s=sender_id: self._agent.agent(s))
                found[sender_id] = labels_of(sender)
        return found

    async def _failed(self, turn: Turn, failure: Exception, *, retryable: bool) -> _Ended:
        """See to messages at which the program failed."""
        shown, why = _shown(turn), _text(failure)
        if retryable and await self._signals.has_ended(failure):
            self._runner.display.end("released", shown, why)
            return _Ended.DONE
        self._failing[turn.place.thread_id] = why
        if retryable and turn.attempt < self._runner.options.attempts:
            self._runner.display.end("retried", shown, why)
            return _Ended.FAILED
        self._leave_aside(turn, why)
        return _Ended.DONE

    def _leave_aside(self, turn: Turn, why: str) -> None:
        thread_id = turn.place.thread_id
        self._failing.setdefault(thread_id, why)
        self._aside |= dict.fromkeys(turn.sequences, thread_id)
        self._runner.display.end("left aside", _shown(turn), why)
        numbers = ", ".join(map(str, turn.sequences))
        told = (
            f"left aside, unacknowledged, in thread {thread_id}: {numbers}"
            f" (attempt {turn.attempt}): {_first_line(why)}"
        )
        self._runner.program.errors.line(f"dovetail: {escape_controls(told)}")
        if len(self._aside) > ASIDE_MAX:
            self._fail(CommandError(f"more than {ASIDE_MAX} messages are left aside: {why}"))

    def _fail(self, error: Exception) -> None:
        """End the command with an error, once what is under way has ended."""
        self._fault = self._fault or error
        self._end()

    def _signalled(self) -> None:
        self._runner.display.stopping = True
        self._end()

    def _end(self) -> None:
        """Begin no other turn, and wait for no other attempt."""
        self._stop.set()
        for news in self._threads.values():
            news.set()

    def _release_all(self) -> None:
        """End the programs under way; what they read stays unacknowledged."""
        for doing in self._doing:
            doing.cancel()


def _text(failure: Exception) -> str:
    return describe(failure) if isinstance(failure, DovetailError) else str(failure)


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _shown(turn: Turn) -> Shown:
    senders = Counter(each.sender_id or "(no agent)" for each in turn.messages)
    facts: dict[str, Any] = {
        "thread_id": turn.place.thread_id,
        "sequences": turn.sequences,
        "attempt": turn.attempt,
    }
    return Shown(
        key=turn.place.thread_id,
        name=turn.place.thread_id,
        title=", ".join(f"{count} from {sender}" for sender, count in senders.items()),
        facts=facts,
    )
