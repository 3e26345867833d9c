"""What a model reads of a watcher: a digest when it wakes, and what hooks show."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dovetail.bridges.fences import Fences, Origin, word
from dovetail.bridges.watcher.news import Line

DIGEST_BYTES_MAX = 512
SENDERS_SHOWN = 6
LINES_SHOWN = 10
TASKS_SHOWN = 20
PREVIEW_CHARACTERS = 200


@dataclass(frozen=True, kw_only=True)
class Names:
    """The agent, and the options with which its commands name it."""

    agent_id: str
    options: str
    """For example ` --as bob`; empty where a token names it."""

    def command(self, words: str) -> str:
        """A command line of this agent."""
        return f"dovetail {words}{self.options}"


def names_of(agent_id: str, *, has_token: bool) -> Names:
    """How commands name an agent."""
    return Names(agent_id=agent_id, options="" if has_token else f" --as {shlex.quote(agent_id)}")


def digest(names: Names, lines: Sequence[Line], unread: int) -> str:
    """What there is to look at: counts, senders and the next steps, never what was written."""
    facts = digest_facts(names, lines, unread)
    senders = [f"{word(sender)} {count}" for sender, count in facts["senders"].items()]
    high = f" ({facts['high']} high)" if facts["high"] else ""
    head = f"{len(lines)} new{high}, {unread} unread."
    steps = (
        f"Read: {names.command('inbox --brief')}\nAfter that run it again: {names.command('watch')}"
    )
    while True:
        left = facts["sender_count"] - len(senders)
        whose = ", ".join([*senders, *([f"{left} more"] if left else [])])
        text = f"{head} From {whose}. {steps}"
        if _fits(text):
            return text
        if not senders:  # The name of the agent is that long.
            return f"{head} Read: dovetail inbox --brief"
        senders.pop()


def digest_facts(names: Names, lines: Sequence[Line], unread: int) -> dict[str, Any]:
    """The digest for programs."""
    senders = Counter(line.sender_id for line in lines)
    shown = dict(senders.most_common(SENDERS_SHOWN))
    facts = {
        "new": len(lines),
        "high": sum(line.is_high for line in lines),
        "unread": unread,
        "through_sequence": max(line.sequence for line in lines),
        "sender_count": len(senders),
        "senders": shown,
        "read": names.command("inbox --brief"),
        "again": names.command("watch"),
    }
    while shown and not _fits(json.dumps(facts, ensure_ascii=False)):
        shown.popitem()
    if not _fits(json.dumps(facts, ensure_ascii=False)):
        del facts["read"], facts["again"]
    return facts


def _fits(text: str) -> bool:
    """Whether a digest is short enough, with the end of its line."""
    return len(text.encode()) < DIGEST_BYTES_MAX


def messages_text(
    names: Names, lines: Sequence[Line], origins: Mapping[int, Origin], unread: int
) -> str:
    """Messages as a hook shows them: each between marks, and how to go on.

    `origins` has those of the first LINES_SHOWN, by their sequence.
    """
    fences = Fences()
    shown = lines[:LINES_SHOWN]
    rows = [_message(fences, names, line, origins[line.sequence]) for line in shown]
    left = len(lines) - len(shown)
    more = [f"and {left} more: {names.command('inbox --brief')}"] if left else []
    head = f"Dovetail: {unread} unread for {word(names.agent_id)}. {fences.note}"
    step = f"Once done with one: {names.command('acknowledge SEQUENCE')}"
    return "\n".join([head, *rows, *more, step])


def held_text(names: Names, task_ids: Sequence[str]) -> str:
    """The reminder of tasks that the agent still holds."""
    shown = [
        f"task {word(each)} is still yours: complete, fail or release it"
        for each in task_ids[:TASKS_SHOWN]
    ]
    left = len(task_ids) - len(shown)
    more = [f"and {left} more tasks"] if left > 0 else []
    way = names.command("task complete TASK RESULT")
    return "\n".join([*shown, *more, f"For example: {way}"])


def watch_text(names: Names) -> str:
    """What a model is asked to do where only a process of its own session can wake it."""
    return (
        "Dovetail: no watcher of this session runs. Start it in the background, and end your turn:"
        f" {names.command('watch')}\nIts end wakes you when there is something for you."
    )


def _message(fences: Fences, names: Names, line: Line, origin: Origin) -> str:
    facts = [f"#{line.sequence}", word(line.message_id)]
    facts += ["HIGH"] if line.is_high else []
    facts += [line.what] if line.what else []
    facts += [f"task {word(line.task_id)}"] if line.task_id else []
    preview = line.text[:PREVIEW_CHARACTERS]
    left = line.left + len(line.text) - len(preview)
    way = names.command(f"message show {shlex.quote(line.message_id)} --fields message.body")
    cut = f"\ncut: {left:,} more characters; all: {way}" if left else ""
    return f"{' '.join(facts)}\n{fences.text(preview, origin)}{cut}"
