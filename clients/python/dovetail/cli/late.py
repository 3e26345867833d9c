"""What commands load when they do their work: `late.asyncio`, `late.render` and so on.

Loading these modules takes longer than most calls do, and help, completion, `config` and a wrong
command line need none of them. So each is loaded where a command first uses it. A type checker sees
ordinary imports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio as asyncio
    from types import ModuleType

    from dovetail import client as client
    from dovetail.admin.v1 import admin_pb2 as admin_pb2
    from dovetail.cli.output import details as details
    from dovetail.cli.output import failures as failures
    from dovetail.cli.output import hits as hits
    from dovetail.cli.output import json_values as json_values
    from dovetail.cli.output import lists as lists
    from dovetail.cli.output import messages as messages
    from dovetail.cli.output import outages as outages
    from dovetail.cli.output import readers as readers
    from dovetail.cli.output import render as render
    from dovetail.cli.output import reports as reports
    from dovetail.cli.output import teams as teams
    from dovetail.client import admin as admin
    from dovetail.client import reconnecting as reconnecting
    from dovetail.client import values as values
    from dovetail.messaging.v1 import messaging_pb2 as messaging_pb2
    from dovetail.tasks.v1 import tasks_pb2 as tasks_pb2
    from dovetail.types.v1 import types_pb2 as types_pb2
else:
    from importlib import import_module

    _MODULES = {
        "asyncio": "asyncio",
        "client": "dovetail.client",
        "admin": "dovetail.client.admin",
        "reconnecting": "dovetail.client.reconnecting",
        "values": "dovetail.client.values",
        "details": "dovetail.cli.output.details",
        "outages": "dovetail.cli.output.outages",
        "failures": "dovetail.cli.output.failures",
        "hits": "dovetail.cli.output.hits",
        "json_values": "dovetail.cli.output.json_values",
        "lists": "dovetail.cli.output.lists",
        "readers": "dovetail.cli.output.readers",
        "messages": "dovetail.cli.output.messages",
        "render": "dovetail.cli.output.render",
        "reports": "dovetail.cli.output.reports",
        "teams": "dovetail.cli.output.teams",
        "admin_pb2": "dovetail.admin.v1.admin_pb2",
        "messaging_pb2": "dovetail.messaging.v1.messaging_pb2",
        "tasks_pb2": "dovetail.tasks.v1.tasks_pb2",
        "types_pb2": "dovetail.types.v1.types_pb2",
    }

    def __getattr__(name: str) -> ModuleType:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = globals()[name] = import_module(_MODULES[name])
        return module
