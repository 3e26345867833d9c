"""What Codex CLI says to a hook and reads from it.

Read on 26 November 2026: developers.openai.com/codex/hooks, and the schemas in openai/codex,
codex-rs/hooks/schema/generated (commits bde5e18 and 0ea8381).

- Standard input is an object with session_id, turn_id, hook_event_name, cwd.
- PostToolUse, UserPromptSubmit and SessionStart read hookSpecificOutput.additionalContext; an
  object with unknown fields is refused.
- Stop with `decision: block` goes on with `reason` as a message of the user. `stop_hook_active`
  says that it did before. No limit is documented.
- Whether standard output may be empty is told in two ways; `{}` is right in both.
- No process that ends starts a turn. From outside: `codex exec resume SESSION`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dovetail.bridges.hooks.answers import held_by_mark, more_context
from dovetail.bridges.hooks.moments import PROMPT, START, STOP, TOOL

EVENTS = {
    "SessionStart": START,
    "UserPromptSubmit": PROMPT,
    "PostToolUse": TOOL,
    "Stop": STOP,
}
SESSION = "session_id"
IS_WOKEN_BY_EXIT = False
HOLDS_MAX = 7


def is_for_us(event: str, said: Mapping[str, Any]) -> bool:  # noqa: ARG001 - one shape for all hosts
    """Whether the main model reads what a hook prints now."""
    return not said.get("agent_id")


held_before = held_by_mark


def shown(event: str, text: str) -> dict[str, Any]:
    """The object with which the host shows a text to the model."""
    if EVENTS[event] == STOP:
        return {"decision": "block", "reason": text}
    return more_context(event, text)


NOTHING = "{}"
"""What is printed where there is nothing to show."""
