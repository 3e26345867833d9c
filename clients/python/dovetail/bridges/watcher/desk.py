"""Where hooks ask: what is shown to a session at each moment, each message once.

The watcher decides, not the hook: it has all loaded, knows what is unread, and remembers what each
session was shown. A hook's answer is what the host reads, as it is.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

from dovetail.bridges.hooks.call import SAID_BYTES_MAX
from dovetail.bridges.hooks.hosts import HOSTS, Contract
from dovetail.bridges.hooks.moments import END, IN_A_TURN, PROMPT, START, STOP, TOOL
from dovetail.bridges.watcher import texts
from dovetail.bridges.watcher.memory import Memory, Session
from dovetail.bridges.watcher.news import Line, News
from dovetail.bridges.watcher.texts import Names

TURN_SECONDS_MAX = 120.0
"""After so long without a hook a session counts as idle: its host may have ended."""

REQUEST_SECONDS_MAX = 2.0
REQUEST_BYTES_MAX = SAID_BYTES_MAX + 1_024
SESSION_CHARACTERS_MAX = 200
WAITING_SECONDS_MAX = 6.0
"""Between tools of a long turn, what is not urgent is shown too after so long."""

ASKING_SECONDS = 600.0
"""How often a session is asked to start a watcher."""

_SESSION = re.compile(rb'"(?:session_id|conversation_id)"\s*:\s*"([^"\\]{1,200})"')


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What the watcher is: whether its end wakes the session, and whether the host starts it."""

    wakes: bool
    is_started_by_host: bool


@dataclass(frozen=True, kw_only=True)
class _Call:
    """One call of a hook, as its host said it."""

    host: Contract
    event: str
    moment: str
    said: Mapping[str, Any]
    session_name: str


class Desk:
    """Answers hooks, one at a time."""

    def __init__(self, names: Names, news: News, memory: Memory, watch: Watch) -> None:
        """Answer for an agent."""
        self.names = names
        self.news = news
        self._memory = memory
        self._watch = watch
        self._one_at_a_time = asyncio.Lock()
        self._turns: dict[str, float] = {}
        self._idle = asyncio.Event()
        self.asked = asyncio.Event()
        """Set by each call."""
        self.left = asyncio.Event()
        """Set when the session is over that it only answers hooks of."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(REQUEST_SECONDS_MAX):
                request = await _read(reader)
                async with self._one_at_a_time, self._remembering():
                    writer.write((await self._answer(request)).encode())
                    await writer.drain()
        writer.close()

    @asynccontextmanager
    async def _remembering(self) -> AsyncGenerator[None]:
        """Keep what the block told, after it was told; if that fails, it was not told."""
        try:
            yield
            self._memory.save()
        except BaseException:
            self._memory.read()
            raise

    def is_in_a_turn(self) -> bool:
        """Whether a session works now, whose hooks show it what comes."""
        now = time.monotonic()
        self._turns = {
            name: seen for name, seen in self._turns.items() if now - seen < TURN_SECONDS_MAX
        }
        return bool(self._turns)

    async def until_idle(self) -> None:
        """Wait until no session works; its hooks, or their absence, say so."""
        while self.is_in_a_turn():
            self._idle.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._idle.wait()

    async def _answer(self, request: bytes) -> str:
        head, _, said = request.partition(b"\n")
        words = head.decode(errors="replace").split()
        call = _read_call(words, said)
        if call is None:
            return ""
        self.asked.set()
        text = await self._text(call)
        self._note_turn(call, is_held=bool(text))
        if not text:
            return call.host.NOTHING
        return json.dumps(call.host.shown(call.event, text), ensure_ascii=False)

    def _note_turn(self, call: _Call, *, is_held: bool) -> None:
        if call.moment in IN_A_TURN or (call.moment == STOP and is_held):
            self._turns[call.session_name] = time.monotonic()
        elif call.moment in (STOP, END):
            self._turns.pop(call.session_name, None)
            self._idle.set()

    async def _text(self, call: _Call) -> str:
        if not call.host.is_for_us(call.event, call.said):
            return ""
        session = self._memory.session(call.session_name)
        if call.moment == TOOL:
            return await self._between_tools(session)
        if call.moment in (START, PROMPT):
            session.holds, session.reminded = 0, []
            return await self._all(session)
        if call.moment == STOP:
            return await self._at_the_end(session, call)
        if not self._watch.wakes:
            self.left.set()
        return ""

    async def _between_tools(self, session: Session) -> str:
        """The messages of high importance, or all, if one of the others has waited for long."""
        fresh = self._fresh(session)
        if any(_has_waited(line) for line in fresh):
            return await self._all(session)
        if not any(line.is_high for line in fresh):
            return ""  # Most calls end here, and ask no server.
        await self.news.refresh()
        lines = [line for line in self._fresh(session) if line.is_high]
        if not lines:
            return ""
        session.high_through = max(session.high_through, lines[-1].sequence)
        return await self._shown(lines)

    async def _all(self, session: Session) -> str:
        """All messages."""
        await self.news.refresh()
        lines = self._fresh(session)
        if known := self.news.after(session.shown_through):
            session.shown_through = known[-1].sequence
            self._memory.tell(session.shown_through)
        if not lines:
            return ""
        return await self._shown(lines)

    async def _shown(self, lines: Sequence[Line]) -> str:
        shown = lines[: texts.LINES_SHOWN]
        await self.news.learn_senders(shown)
        origins = {line.sequence: self.news.origin(line) for line in shown}
        return texts.messages_text(self.names, lines, origins, self.news.count)

    async def _at_the_end(self, session: Session, call: _Call) -> str:
        """All messages, the tasks that the agent still holds, and who wakes it."""
        before = call.host.held_before(call.said)
        session.holds = session.holds if before is None else before
        if session.holds >= call.host.HOLDS_MAX:
            return ""
        parts = [await self._all(session)]
        held = await self.news.held_tasks()
        if fresh := [each for each in held if each not in session.reminded]:
            session.reminded += fresh
            parts.append(texts.held_text(self.names, fresh))
        if not any(parts) and self._is_deaf(session, call.host):
            session.asked_to_watch = time.time()
            parts.append(texts.watch_text(self.names))
        text = "\n".join(filter(None, parts))
        session.holds += bool(text)
        return text

    def _is_deaf(self, session: Session, host: Contract) -> bool:
        """Whether nothing would wake the session, and it was not asked lately to change that."""
        is_woken = self._watch.wakes or self._watch.is_started_by_host
        is_asked = time.time() - session.asked_to_watch < ASKING_SECONDS
        return host.IS_WOKEN_BY_EXIT and not is_woken and not is_asked

    def _fresh(self, session: Session) -> list[Line]:
        """What was not shown to a session."""
        return [
            line
            for line in self.news.after(session.shown_through)
            if not session.has(line.sequence, is_high=line.is_high)
        ]


def _has_waited(line: Line) -> bool:
    """Whether a message should wait no longer for the end of a turn."""
    return time.monotonic() - line.known_since >= WAITING_SECONDS_MAX


async def _read(reader: asyncio.StreamReader) -> bytes:
    """A request, up to its end. One that is too long is cut."""
    kept = b""
    while chunk := await reader.read(64 * 1024):
        if len(kept) < REQUEST_BYTES_MAX:
            kept += chunk
    return kept[:REQUEST_BYTES_MAX]


def _read_call(words: Sequence[str], said: bytes) -> _Call | None:
    """A call as its host said it; None for events that mean nothing here."""
    host = HOSTS.get(words[0]) if len(words) == 2 else None
    moment = host.EVENTS.get(words[1]) if host else None
    if host is None or moment is None:
        return None
    facts = _facts(said)
    name = str(facts.get(host.SESSION, ""))[:SESSION_CHARACTERS_MAX]
    return _Call(
        host=host,
        event=words[1],
        moment=moment,
        said=facts,
        session_name=f"{words[0]} {name}",
    )


def _facts(said: bytes) -> Mapping[str, Any]:
    """What the host said. Of what was cut, the session is still found."""
    try:
        facts = json.loads(said or b"{}")
    except ValueError:
        found = _SESSION.search(said)
        name = found[1].decode(errors="replace") if found else ""
        return {"session_id": name, "conversation_id": name}
    return cast(Mapping[str, Any], facts) if isinstance(facts, dict) else {}
