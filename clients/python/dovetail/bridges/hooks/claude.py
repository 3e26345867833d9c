"""What Claude Code says to a hook and reads from it.

Read on 26 November 2026: the hooks reference (code.claude.com/docs/en/hooks), and for the limit of
eight and for asyncRewake the issues 54360, 89960 and 83396 of anthropics/claude-code.

- Standard input is an object with session_id, hook_event_name, cwd; agent_id inside a subagent.
- Exit code 0 with an object on standard output; 2 blocks; others are shown to the user.
- PostToolUse, UserPromptSubmit and SessionStart add `additionalContext` to what the model reads.
- Stop with `decision: block` goes on with `reason`. `stop_hook_active` says that it did before; the
  host ends the turn after eight in a row.
- A background command of the session that ends starts a turn. So does a hook with
  `asyncRewake: true` that ends with exit code 2: its output is what the model reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dovetail.bridges.hooks.answers import held_by_mark, more_context
from dovetail.bridges.hooks.moments import END, PROMPT, START, STOP, TOOL

EVENTS = {
    "SessionStart": START,
    "UserPromptSubmit": PROMPT,
    "PostToolUse": TOOL,
    "Stop": STOP,
    "SessionEnd": END,
}
SESSION = "session_id"
IS_WOKEN_BY_EXIT = True
HOLDS_MAX = 7
"""One fewer than the host lets through: it would warn the user at the eighth."""


def is_for_us(event: str, said: Mapping[str, Any]) -> bool:  # noqa: ARG001 - one shape for all hosts
    """Whether the main model reads what a hook prints now: not a subagent, which ends soon."""
    return not said.get("agent_id")


held_before = held_by_mark


def shown(event: str, text: str) -> dict[str, Any]:
    """The object with which the host shows a text to the model."""
    if EVENTS[event] == STOP:
        return {"decision": "block", "reason": text}
    return more_context(event, text)


NOTHING = ""
"""What is printed where there is nothing to show."""
