"""Mail for bob, and what a program that attends to it makes of it."""

from __future__ import annotations

import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf import duration_pb2

from cli.shell import PROGRAM, Finished, Shell
from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.messaging.v1 import messaging_pb2_grpc
from support.children import child
from support.pair import identity


class Mail:
    """Messages of one team, by calls: a command for each would take most of the time."""

    def __init__(self, shell: Shell, channel: grpc.Channel) -> None:
        self._stub = messaging_pb2_grpc.MessagingServiceStub(channel)
        self._team = shell.team

    def send(
        self, body: str = "", *, sender: str = "alice", **fields: Any
    ) -> pb.SendMessageResponse:
        """A message, to bob unless somebody else is named."""
        fields.setdefault("recipient_ids", ["bob"])
        request = pb.SendMessageRequest(body=body, **fields)
        return self._stub.SendMessage(request, metadata=identity(sender, self._team))

    def register(self, agent_id: str, **labels: str) -> None:
        request = pb.RegisterAgentRequest(agent_id=agent_id, labels=labels)
        self._stub.RegisterAgent(request, metadata=identity("", self._team))

    def unread(self, agent_id: str) -> list[pb.Message]:
        """What is unacknowledged in an inbox."""
        request = pb.ReceiveMessagesRequest(max_messages=1_000)
        response = self._stub.ReceiveMessages(request, metadata=identity(agent_id, self._team))
        return [each.message for each in response.deliveries]

    def bodies(self, agent_id: str) -> list[str]:
        return [each.body for each in self.unread(agent_id)]

    def replies(self, count: int) -> list[pb.Message]:
        """So many messages for alice, which may still come."""
        for _ in range(60):
            wait = duration_pb2.Duration(seconds=1)
            request = pb.ReceiveMessagesRequest(max_messages=1_000, max_wait=wait)
            metadata = identity("alice", self._team)
            found = self._stub.ReceiveMessages(request, metadata=metadata).deliveries
            if len(found) >= count:
                return [each.message for each in found]
        raise AssertionError("they did not come")


@contextmanager
def mail_of(shell: Shell) -> Generator[Mail]:
    with grpc.insecure_channel(shell.messaging) as channel:
        yield Mail(shell, channel)


def attend(shell: Shell, *words: str, options: tuple[str, ...] = ("--once",)) -> Finished:
    """Attend to bob's inbox until the command ends."""
    return shell.run("attend", "--as", "bob", *options, "--", *words)


@contextmanager
def attending(shell: Shell, *words: str) -> Generator[subprocess.Popen[str]]:
    """A command that attends to bob's inbox, whose events are lines of JSON."""
    with child(
        [*PROGRAM, "attend", "--as", "bob", "--json", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=shell.environment,
    ) as process:
        yield process
