"""What Gemini CLI says to a hook and reads from it.

Read on 26 November 2026: docs/hooks/reference.md of google-gemini/gemini-cli (commit 06c0d81).

- Standard input is an object with session_id, hook_event_name, cwd, timestamp.
- Exit code 0 with an object on standard output, and nothing else there; 2 blocks; others warn.
- SessionStart, BeforeAgent and AfterTool read hookSpecificOutput.additionalContext.
- AfterAgent with `decision: deny` goes on with `reason` as a new prompt. `stop_hook_active` says
  that it did before. No limit is documented.
- SessionEnd is not waited for.
- No process that ends starts a turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dovetail.bridges.hooks.answers import held_by_mark, more_context
from dovetail.bridges.hooks.moments import END, PROMPT, START, STOP, TOOL

EVENTS = {
    "SessionStart": START,
    "BeforeAgent": PROMPT,
    "AfterTool": TOOL,
    "AfterAgent": STOP,
    "SessionEnd": END,
}
SESSION = "session_id"
IS_WOKEN_BY_EXIT = False
HOLDS_MAX = 7


def is_for_us(event: str, said: Mapping[str, Any]) -> bool:  # noqa: ARG001 - one shape for all hosts
    """Whether the model reads what a hook prints now."""
    return True


held_before = held_by_mark


def shown(event: str, text: str) -> dict[str, Any]:
    """The object with which the host shows a text to the model."""
    if EVENTS[event] == STOP:
        return {"decision": "deny", "reason": text}
    return more_context(event, text)


NOTHING = ""
"""What is printed where there is nothing to show."""
