"""What a word that is wrong here was likely meant to be: commands, options, values of an option."""

from __future__ import annotations

from collections.abc import Sequence

import click

from dovetail.settings import CONFIG, PROFILE, SERVER, nearest

SUBCOMMANDS = {
    "add": ("create", "register", "put"),
    "create": ("put", "register"),
    "close": ("complete", "cancel"),
    "delete": ("remove", "revoke"),
    "describe": ("show",),
    "done": ("complete",),
    "edit": ("update", "put"),
    "finish": ("complete",),
    "get": ("show",),
    "info": ("show",),
    "inspect": ("show",),
    "ls": ("list",),
    "make": ("create", "put"),
    "new": ("create", "register", "put"),
    "query": ("list",),
    "remove": ("delete", "revoke"),
    "reply": ("answer",),
    "resolve": ("complete",),
    "retry": ("reopen",),
    "rm": ("delete", "remove", "revoke"),
    "search": ("list",),
    "set": ("update", "put"),
    "take": ("claim",),
    "tree": ("graph",),
    "view": ("show",),
}
"""Words that other programs use for a command of a group; the first that the group has is meant."""

ROOT = {
    "ack": "acknowledge",
    "agents": "agent list",
    "answer": "task answer",
    "ask": "task ask",
    "assign": "task assign",
    "cancel": "task cancel",
    "claim": "task claim",
    "complete": "task complete",
    "create": "task create",
    "done": "task complete",
    "fail": "task fail",
    "get": "task show",
    "graph": "task graph",
    "groups": "group list",
    "health": "status",
    "list": "task list",
    "ls": "task list",
    "messages": "inbox",
    "mail": "inbox",
    "new": "task create",
    "ping": "status",
    "read": "inbox",
    "receive": "inbox",
    "register": "agent register",
    "reject": "message reject",
    "release": "task release",
    "reply": "send --reply-to",
    "run": "up",
    "seen": "message seen",
    "server": "up",
    "servers": "up",
    "settings": "config",
    "show": "task show",
    "start": "up",
    "stats": "report",
    "tasks": "task list",
    "teams": "team list",
    "tokens": "token list",
    "version": "--version",
    "withdraw": "message withdraw",
}
"""The same at the root, where a command of a group may be meant."""

OPTIONS = {
    "--agent": "--as",
    "--assignee": "AGENT",
    "--assigned": "--assignee",
    "--assigned-to": "--assignee",
    "--body": "TEXT",
    "--completed": "--state",
    "--count": "--limit",
    "--dir": "--data-dir",
    "--filter": "--state --assignee --label",
    "--host": "--listen",
    "--listen": "--messaging-listen --tasks-listen",
    "--message": "TEXT",
    "--id": "TASK",
    "--name": "TITLE",
    "--output": "--json",
    "--owner": "--assignee",
    "--port": "--listen",
    "--result": "SUMMARY",
    "--sender": "--from",
    "--status": "--state",
    "--token": "--token-file",
    "--user": "--as",
    "--where": "--state --assignee --label",
}
"""Options that users of other programs try. What is proposed must be of the command."""

VALUES = {
    "active": "in_progress",
    "done": "completed",
    "closed": "completed",
    "finished": "completed",
    "complete": "completed",
    "succeeded": "completed",
    "canceled": "cancelled",
    "error": "failed",
    "asked": "input_required",
    "blocked": "input_required",
    "open": "pending",
    "ready": "pending",
    "running": "in_progress",
    "started": "in_progress",
    "todo": "pending",
    "waiting": "pending",
    "urgent": "high",
    "medium": "normal",
    "user": "agent",
    "root": "admin",
    "task": "tasks",
    "message": "messaging",
}
"""Values that users of other programs try."""

TEXTS = ("body", "title", "question", "text", "reason", "summary", "message")
"""Arguments that hold a text, which is often typed without quotes."""


class UnknownCommand(click.UsageError):
    """A group has no such command."""

    def __init__(self, name: str, context: click.Context, group: click.Group) -> None:
        """Find the command that was meant."""
        super().__init__(f"No such command {name!r}", context)
        self.hint = _command_hint(group, name.lower(), context.command_path)


class UnknownWord(click.BadParameter):
    """An option has no such word."""

    def __init__(self, text: object, word: str, words: Sequence[str]) -> None:
        """Find the word that was meant; `word` is the text in the form of the others."""
        super().__init__(f"{text!r} is not one of {', '.join(words)}")
        meant = VALUES.get(word, "")
        self.hint = f"Did you mean {meant}?" if meant in words else _asked(nearest(word, words))


def hint_of(error: click.ClickException) -> str:
    """What was meant by a wrong command line; empty if that is not known."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if isinstance(error, UnknownCommand | UnknownWord):
        return error.hint
    if context and isinstance(error, click.NoSuchOption):
        return _option_hint(error.option_name, context)
    if context and error.message.startswith("Got unexpected extra argument"):
        return "Put a text of several words in quotes" if _ends_with_text(context) else ""
    return ""


def _command_hint(group: click.Group, word: str, path: str) -> str:
    below = (each for each in SUBCOMMANDS.get(word, ()) if each in group.commands)
    meant = next(below, "") or (ROOT.get(word, "") if " " not in path else "")
    return (
        f"Did you mean {path} {meant}?"
        if meant
        else (_asked(nearest(word, group.commands, f"{path} ")))
    )


def _asked(near: str) -> str:
    """The hint of `nearest` as a sentence of its own."""
    question = near.removeprefix(": ")
    return question[:1].upper() + question[1:]


def _option_hint(name: str, context: click.Context) -> str:
    if context.parent is None:
        return f"Write it after the command: {context.command_path} COMMAND {name} …"
    for setting in (CONFIG, PROFILE):
        if name == setting.flag:
            root = context.find_root().command_path
            return f"Write it before the command: {root} {name} {setting.metavar} …"
    arguments = [_metavar(each) for each in _arguments(context)]
    flags = [flag for each in context.command.params for flag in each.opts if flag[:2] == "--"]
    meant = OPTIONS.get(name, name.strip("-").upper()).split()
    for word in (word for word in meant if word in arguments):
        return f"{word} is an argument: {context.command_path} {' '.join(arguments)}"
    known = [word for word in meant if word in flags] or _alike(name, flags)
    return f"Did you mean {_listed(known, name)}?" if known else ""


def _alike(name: str, flags: Sequence[str]) -> list[str]:
    from difflib import get_close_matches  # Only for a mistake.

    # Most options are about connections: a lower bound proposes them for anything.
    return get_close_matches(name, flags, n=1, cutoff=0.8)


def _listed(words: Sequence[str], name: str) -> str:
    """Options as alternatives; `--listen` of `up` was meant to be both."""
    return (" and " if name == SERVER["listen"].flag else " or ").join(words)


def _arguments(context: click.Context) -> list[click.Argument]:
    return [each for each in context.command.params if isinstance(each, click.Argument)]


def _metavar(argument: click.Argument) -> str:
    return (argument.metavar or str(argument.name).upper()).strip("[].")


def _ends_with_text(context: click.Context) -> bool:
    arguments = _arguments(context)
    return bool(arguments) and arguments[-1].name in TEXTS
