"""Statements in the SQL of one kind of database, with named parameters in braces."""

from __future__ import annotations

import re

from peewee import SQL, Node, NodeList

from dovetail.server.store.transaction import Statement, param

_PARAMETER = re.compile(r"\{(\w+)\}")


def plain_statement(text: str) -> Statement:
    """The statement of a text. `{name}` is a parameter; a percent sign must not be in it."""
    parts: list[Node] = []
    for at, part in enumerate(_PARAMETER.split(text)):
        if part:
            parts.append(param(part) if at % 2 else SQL(part))
    return Statement(NodeList(parts, glue=" "))
