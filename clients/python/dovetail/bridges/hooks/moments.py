"""The moments of a session at which hosts run hooks, whatever each host calls them."""

START = "start"
"""A session begins or goes on."""
PROMPT = "prompt"
"""A turn begins: the user wrote something."""
TOOL = "tool"
"""Between two steps of a turn: a tool was called."""
STOP = "stop"
"""A turn would end."""
END = "end"
"""The session is over."""

IN_A_TURN = (PROMPT, TOOL)
