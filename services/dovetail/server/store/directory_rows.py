"""The tables of groups and presence, as Peewee models; a part of `schema.py`."""

from __future__ import annotations

from peewee import BigIntegerField, CompositeKey, IntegerField, TextField

from dovetail.server.store.queries import Model


class AgentGroupRow(Model):
    """A named set of agents. `version` is larger than that of any earlier group with the id."""

    team_id = TextField()
    group_id = TextField()
    display_name = TextField()
    labels = TextField()
    creator_id = TextField()
    create_time = BigIntegerField()
    update_time = BigIntegerField()
    version = BigIntegerField()
    agent_count = IntegerField()

    class Meta:
        table_name = "agent_groups"
        primary_key = CompositeKey("team_id", "group_id")


class GroupMemberRow(Model):
    """An agent is a member of a group."""

    team_id = TextField()
    group_id = TextField()
    agent_id = TextField()

    class Meta:
        table_name = "group_members"
        primary_key = CompositeKey("team_id", "group_id", "agent_id")


class PresenceRow(Model):
    """What an agent had open at one server process when that process last told it.

    It counts only while the process is alive (`server_processes`).
    """

    team_id = TextField()
    agent_id = TextField()
    process_id = TextField()
    open_streams = IntegerField()
    waiting_calls = IntegerField()

    class Meta:
        table_name = "presence"
        primary_key = CompositeKey("team_id", "agent_id", "process_id")


class ServerProcessRow(Model):
    """A server process with rows in `presence`: its count grows for as long as it is alive.

    `team_id` is empty: a process serves all teams.
    """

    team_id = TextField()
    process_id = TextField()
    beat_count = BigIntegerField()

    class Meta:
        table_name = "server_processes"
        primary_key = CompositeKey("team_id", "process_id")
