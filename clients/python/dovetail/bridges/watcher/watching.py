"""One watcher: its lock, its socket, and when it wakes."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import time
from asyncio import FIRST_COMPLETED
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dovetail.bridges.hooks import places
from dovetail.bridges.watcher.desk import Desk, Watch
from dovetail.bridges.watcher.memory import Memory
from dovetail.bridges.watcher.news import Line, News
from dovetail.bridges.watcher.texts import Names, names_of
from dovetail.client import Agent, DovetailError, UnimplementedError
from dovetail.client.reconnecting import pauses

T = TypeVar("T")

QUIET_SECONDS = 0.2
"""A burst has ended when nothing came for so long."""
BURST_SECONDS_MAX = 1.0

UNASKED_SECONDS_MAX = 3_600.0
"""A watcher for hooks ends when none asked for so long: its hosts have ended."""

START_SECONDS_MAX = 60.0
"""So long it tries to reach a server."""

TAKE_OVER_SECONDS_MAX = 10.0
LOOK_SECONDS = 0.02
LOCK_ATTEMPTS = 5
"""Who only looks whether it is locked holds it too, for a moment."""
WAKES, FOR_HOOKS = "wakes", "for-hooks"
"""What a watcher is, as its lock says."""
CALLS_MAX = 500
CONNECTIONS_MAX = 64


class AlreadyWatchedError(Exception):
    """Another watcher of this agent runs."""


@dataclass(frozen=True, kw_only=True)
class Wake:
    """What a watcher found: what is new, and how much is unread."""

    names: Names
    lines: Sequence[Line]
    unread: int


@dataclass(frozen=True, kw_only=True)
class Place:
    """The private folder of the watchers of one agent."""

    path: Path

    @property
    def memory(self) -> Memory:
        """What they told."""
        return Memory(self.path / places.MEMORY)

    @property
    def is_armed_by_host(self) -> bool:
        """Whether the host starts them."""
        return (self.path / places.HOST_ARMS).exists()

    def set_armed_by_host(self) -> None:
        """Remember that the host starts them."""
        (self.path / places.HOST_ARMS).touch(0o600)

    def is_watched(self) -> bool:
        """Whether a watcher runs."""
        try:
            number = os.open(self.path / places.LOCK, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(number)
        return False

    @contextmanager
    def locked(self, word: str = WAKES) -> Generator[None]:
        """Be the one watcher inside the block. Raises AlreadyWatchedError."""
        number = os.open(self.path / places.LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(number, word)
            yield
        finally:
            os.close(number)

    def is_for_hooks(self) -> bool:
        """Whether one runs that only answers hooks."""
        return self._holder()[1] == FOR_HOOKS and self.is_watched()

    def end_for_hooks(self) -> None:
        """End a watcher that only answers hooks, and wait for that; one that wakes stays."""
        end = time.monotonic() + TAKE_OVER_SECONDS_MAX
        while self.is_for_hooks() and time.monotonic() < end:
            with suppress(OSError, ValueError):
                os.kill(int(self._holder()[0]), signal.SIGTERM)
            time.sleep(LOOK_SECONDS)

    def _holder(self) -> tuple[str, str]:
        """The process that locked it last, and what it is."""
        process_id, _, word = places.read_line(str(self.path / places.LOCK)).partition(" ")
        return process_id, word


def place_of(*parts: str) -> Place:
    """The folder of the watchers of an agent, made where it is missing. Raises OSError."""
    return Place(path=Path(places.private(f"{places.root()}/{places.key_of(*parts)}")))


def remember_call(key: str, place: Place) -> None:
    """Let hooks with the settings of this call find the folder. Raises OSError."""
    calls = Path(places.private(f"{places.root()}/{places.CALLS}"))
    draft = calls / f"{key}.{os.getpid()}"
    draft.write_text(f"{place.path.name}\n")
    draft.replace(calls / key)
    by_age = sorted(calls.iterdir(), key=_change_time)
    for oldest in by_age[:-CALLS_MAX]:
        oldest.unlink(missing_ok=True)


def _change_time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


class Watcher:
    """Waits in a locked folder, and answers hooks meanwhile."""

    def __init__(self, agent: Agent, place: Place, watch: Watch, *, has_token: bool) -> None:
        """Watch the inbox of an agent."""
        self._agent = agent
        self._place = place
        self._watch = watch
        self._has_token = has_token
        self._memory = place.memory

    async def wake(self, *, again: bool) -> Wake:
        """Wait for something new. With `again`, also for what was told already."""
        async with self._serving() as desk:
            if again:
                self._memory.told_through = 0
            return await _while_following(desk.news, self._until_news(desk))

    def remember(self, wake: Wake) -> None:
        """Remember that it was told; after it was. Raises OSError."""
        self._memory.tell(wake.lines[-1].sequence)
        self._memory.save()

    async def serve_hooks(self) -> None:
        """Answer hooks until none asks, or another watcher wants to take over."""
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(START_SECONDS_MAX):
                    desk = await stack.enter_async_context(self._serving())
            except TimeoutError:
                return  # The next hook starts another one.
            await _while_following(desk.news, _until_left(desk))

    async def _until_news(self, desk: Desk) -> Wake:
        news = desk.news
        while True:
            while not news.after(self._memory.told_through):
                await news.change()
            await _until_quiet(news)
            await desk.until_idle()
            await news.refresh()
            if lines := news.after(self._memory.told_through):
                return Wake(names=desk.names, lines=lines, unread=max(news.count, len(lines)))

    @asynccontextmanager
    async def _serving(self) -> AsyncGenerator[Desk]:
        agent = await insist(self._agent.agent)
        self._memory.belong_to(agent.create_time.isoformat())
        news = News(self._agent, agent.agent_id)
        news.count = agent.unacknowledged_count
        names = names_of(agent.agent_id, has_token=self._has_token)
        desk = Desk(names, news, self._memory, self._watch)
        async with _listening(self._place, desk):
            yield desk


async def insist(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat a call through outages of any length. Raises DovetailError if it is refused."""
    for pause in pauses():
        try:
            return await call()
        except UnimplementedError:
            raise
        except DovetailError as error:
            if not error.is_passing:
                raise
            await asyncio.sleep(pause)
    raise AssertionError("pauses never end")


async def _until_quiet(news: News) -> None:
    """Wait until a burst has ended, so that it wakes once."""
    end = time.monotonic() + BURST_SECONDS_MAX
    while await news.change(QUIET_SECONDS) and time.monotonic() < end:
        pass


async def _until_left(desk: Desk) -> None:
    """Wait until no hook asked for long, or the desk should be left."""
    leaving = asyncio.create_task(desk.left.wait())
    try:
        while not leaving.done():
            asking = asyncio.create_task(desk.asked.wait())
            done, _ = await asyncio.wait(
                (asking, leaving), timeout=UNASKED_SECONDS_MAX, return_when=FIRST_COMPLETED
            )
            asking.cancel()
            desk.asked.clear()
            if not done:
                return
    finally:
        leaving.cancel()


async def _while_following(news: News, waiting: Coroutine[Any, Any, T]) -> T:
    """Wait, while the stream of news is read; an error of the stream ends the wait."""
    following = asyncio.create_task(news.follow())
    wait = asyncio.create_task(waiting)
    try:
        await asyncio.wait((following, wait), return_when=FIRST_COMPLETED)
        if not wait.done():
            await following
        return await wait
    finally:
        for each in (following, wait):
            each.cancel()
        await asyncio.wait((following, wait))


@asynccontextmanager
async def _listening(place: Place, desk: Desk) -> AsyncGenerator[None]:
    """Answer hooks at the socket of a folder, which is locked."""
    folder = places.Folder(str(place.path))
    path = folder.name(places.SOCKET)
    try:
        with suppress(FileNotFoundError):
            os.unlink(path)  # Of a watcher that was killed.
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(CONNECTIONS_MAX)
            listener.setblocking(False)
            server = await asyncio.start_unix_server(desk.serve, sock=listener)
            try:
                yield
            finally:
                server.close()
                with suppress(OSError):
                    os.unlink(path)
    finally:
        folder.close()


def _lock(number: int, word: str) -> None:
    """Lock an open file, and write into it whose it is. Raises AlreadyWatchedError."""
    for _ in range(LOCK_ATTEMPTS):
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            time.sleep(LOOK_SECONDS)
    else:
        holder = os.pread(number, 64, 0).decode(errors="replace").partition(" ")[0]
        raise AlreadyWatchedError(f"process {holder}" if holder else "it begins")
    os.ftruncate(number, 0)
    os.pwrite(number, f"{os.getpid()} {word}\n".encode(), 0)
