"""What Cursor says to a hook and reads from it.

Read on 26 November 2026: cursor.com/docs/agent/hooks as third parties quote it (the wiki of
robot-council/cli, CorridorSecurity/hookshot, cupcake.eqtylab.io), which agree.

- Standard input is an object with conversation_id, generation_id, hook_event_name.
- sessionStart and postToolUse read `additional_context`; beforeSubmitPrompt can only refuse.
- stop reads `followup_message`, which is sent as the next message of the user. `loop_count` says
  how many there were; the host ends at `loop_limit` of the configuration, 5 where it says nothing.
  `status` is completed, aborted or error.
- No process that ends starts a turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dovetail.bridges.hooks.moments import END, START, STOP, TOOL

EVENTS = {
    "sessionStart": START,
    "postToolUse": TOOL,
    "stop": STOP,
    "sessionEnd": END,
}
SESSION = "conversation_id"
IS_WOKEN_BY_EXIT = False
HOLDS_MAX = 5
"""The host's own limit: what is said after it is lost."""

COMPLETED = "completed"


def is_for_us(event: str, said: Mapping[str, Any]) -> bool:
    """Whether the model reads what a hook prints now: not after a turn that the user broke off."""
    return EVENTS.get(event) != STOP or said.get("status", COMPLETED) == COMPLETED


def held_before(said: Mapping[str, Any]) -> int | None:
    """How often hooks held the end of this turn before; None where the host does not count."""
    count = said.get("loop_count")
    return count if isinstance(count, int) else 0


def shown(event: str, text: str) -> dict[str, Any]:
    """The object with which the host shows a text to the model."""
    return {"followup_message" if EVENTS[event] == STOP else "additional_context": text}


NOTHING = ""
"""What is printed where there is nothing to show."""
