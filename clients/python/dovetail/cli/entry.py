"""Where `dovetail` begins: a hook of a host goes its own short way, all else to the command line.

A hook runs on every call of a tool, and the command line takes four times as long to load as a
hook may run. So this module imports nothing before it knows what was asked for.
"""

from __future__ import annotations

import sys

HOOK = "hook"
MISUSED, FAILED = 2, 1


def main() -> None:
    """Run a command."""
    words = sys.argv[1:]
    if words[:1] != [HOOK]:
        _everything()
    elif call := _plain_call(words[1:]):
        from dovetail.bridges.hooks.call import run

        run(*call)
    else:
        _misused_hook()


def _everything() -> None:
    from dovetail.cli.main import main as command_line

    command_line(prog_name="dovetail")


def _misused_hook() -> None:
    """Help and mistakes. To hosts exit code 2 means "block": that must not come of a mistake."""
    try:
        _everything()
    except SystemExit as end:
        raise SystemExit(FAILED if end.code == MISUSED else end.code) from None


def _plain_call(words: list[str]) -> tuple[str, str, str, str] | None:
    """Host, event, agent and team of a call; None for what the command line must explain."""
    from dovetail.bridges.hooks.call import HOSTS

    plain: list[str] = []
    named = {"--as": "", "--team": ""}
    rest = iter(words)
    for each in rest:
        name, equals, value = each.partition("=")
        if name in named:
            named[name] = value if equals else next(rest, "")
        elif name.startswith("-"):
            return None
        else:
            plain.append(each)
    if len(plain) != 2 or plain[0] not in HOSTS:
        return None
    return plain[0], plain[1], named["--as"], named["--team"]
