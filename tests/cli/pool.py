"""A pool of tasks, and what a worker makes of it."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import grpc
import psutil
from google.protobuf import duration_pb2

from cli.shell import Finished, Shell
from dovetail.cli.output.json_values import fields
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.tasks.v1 import tasks_pb2_grpc
from support.pair import identity

PYTHON = (sys.executable, "-c")


def work(shell: Shell, *words: str, options: tuple[str, ...] = ("--once",)) -> Finished:
    """Run a worker to its end."""
    return shell.run("worker", "--as", "bob", *options, "--", *words)


@contextmanager
def tasks(shell: Shell) -> Generator[tasks_pb2_grpc.TaskServiceStub]:
    """The task service itself: a command for each look would take most of the time."""
    with grpc.insecure_channel(shell.tasks) as channel:
        yield tasks_pb2_grpc.TaskServiceStub(channel)


def create(shell: Shell, *titles: str, **more: Any) -> None:
    """Have alice make tasks, t1 and so on, whose second tries are far away."""
    backoff = duration_pb2.Duration(seconds=86_400)
    drafts = [
        pb.CreateTaskRequest(title=title, initial_backoff=backoff, **more) for title in titles
    ]
    with tasks(shell) as stub:
        request = pb.BatchCreateTasksRequest(requests=drafts)
        stub.BatchCreateTasks(request, metadata=identity("alice", shell.team))


def task(shell: Shell, task_id: str = "t1") -> dict[str, Any]:
    with tasks(shell) as stub:
        request = pb.GetTaskRequest(task_id=task_id)
        return fields(stub.GetTask(request, metadata=identity("", shell.team)).task)


def ending(shell: Shell, program: str) -> dict[str, Any]:
    """A task after one attempt of a Python program at it."""
    create(shell, "Do it")
    assert work(shell, *PYTHON, f"import os, sys; {program}").exit_code == 0
    return task(shell)


def is_gone(pid: int) -> bool:
    """Whether a process has ended; nobody may have asked for its exit code."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
