"""The blocking face: the same client for code without asyncio.

It runs in a process of its own: gRPC bears one event loop in a process, and the tests have one.
"""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from dovetail import client
from dovetail.client import blocking
from support.processes import process_pair


@pytest.fixture
def addresses(sqlite_url: str, tmp_path: Path) -> Generator[str]:
    with process_pair(sqlite_url, tmp_path) as (messaging, tasks):
        yield f"messaging={messaging.address!r}, tasks={tasks.address!r}"


def run(script: str, addresses: str, tmp_path: Path) -> list[str]:
    file = tmp_path / "script.py"
    head = (
        "from dovetail.client import Attachment, DovetailError\n"
        "from dovetail.client.blocking import connect\n"
    )
    file.write_text(head + script.replace("ADDRESSES", addresses))
    done = subprocess.run(
        [sys.executable, str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout.splitlines()


def test_a_whole_life_without_asyncio(addresses: str, tmp_path: Path) -> None:
    script = """
with connect("alice", ADDRESSES) as alice, connect("bob", ADDRESSES) as bob:
    bob.register()
    file = Attachment(name="a.txt", data=b"text")
    alice.send("bob", "hello", data={"n": 1}, attachments=[file])
    task = alice.tasks.create("Work", assignee_id="bob")
    with bob.inbox() as inbox:
        for message in inbox:
            text = message.body or message.subject
            print(message.sequence, message.sender_id, text, message.data)
            if message.attachments:
                print(message.attachment("a.txt").data, alice.attachment("m1", "a.txt").size)
            message.acknowledge()
            if message.task_id:
                break
        print(inbox.through_sequence, list(inbox.backlog()))
    bob.tasks.start(task.task_id)
    bob.tasks.complete(task.task_id, "done", attachments=[file])
    listing = bob.tasks.list()
    print(alice.tasks.attachment(task.task_id, "a.txt", place="result").data)
    print([each.agent_id for each in alice.agents()], [t.title for t in listing])
    bob.tasks.create("More")
    with bob.tasks.watch(after_event=listing.through_event) as watch:
        print(next(iter(watch)).verb, watch.through_event, list(watch.backlog()))
    print(alice.tasks.report().completed_tasks, bob.agent().unacknowledged_count)
    alice.put_group("crew", ["bob"])
    alice.send(body="all", groups=["crew"])
    print([each.group_id for each in alice.groups()], alice.group("crew").agent_ids)
    alice.update_agent("bob", kind="model")
    print(bob.agent().kind, alice.delete_group("crew"))
    alice.register("carol")
    print(alice.remove_agent("carol").agent.agent_id)
"""
    assert run(script, addresses, tmp_path) == [
        "1 alice hello {'n': 1.0}",
        "b'text' 4",
        "2 alice Task t1 assigned to bob: Work None",
        "2 []",
        "b'text'",
        "['alice', 'bob'] ['Work']",
        "create 4 []",
        "1 0",
        "['crew'] ('bob',)",
        "model True",
        "carol",
    ]


def test_errors_are_the_typed_ones(addresses: str, tmp_path: Path) -> None:
    script = """
with connect("alice", ADDRESSES) as alice:
    try:
        alice.send("nobody", "hello")
    except DovetailError as error:
        print(type(error).__name__, error.reason)
"""
    assert run(script, addresses, tmp_path) == ["NotFoundError AGENT_NOT_FOUND"]


def test_threads_share_the_one_loop(addresses: str, tmp_path: Path) -> None:
    script = """
import threading
def work(number):
    with connect(f"agent{number}", ADDRESSES) as agent:
        agent.register()
        for _ in range(20):
            agent.send(agent.agent_id, "note")
threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
with connect(ADDRESSES) as anyone:
    print(sum(agent.last_sequence for agent in anyone.agents()))
"""
    assert run(script, addresses, tmp_path) == ["160"]


def test_questions_and_replies_without_asyncio(addresses: str, tmp_path: Path) -> None:
    script = """
import threading
def answer():
    with connect("bob", ADDRESSES) as bob:
        (question,) = bob.receive(max_wait=50)
        bob.reply(question, "soon", request_id="r")
        question.reply("soon", request_id="r")
        (other,) = bob.receive(max_wait=50, acknowledge=[question.sequence])
        other.reply("now", subject="done", data={"n": 1})
        other.acknowledge()
with connect("alice", ADDRESSES) as alice:
    alice.register("bob")
    thread = threading.Thread(target=answer)
    thread.start()
    first = alice.ask("bob", "When?")
    print(first.body)
    answer = alice.ask("bob", "And this?", thread_id=first.thread_id)
    print(answer.body, answer.subject, answer.data)
    thread.join()
    print(alice.receive(), alice.agent("bob").unacknowledged_count)
    answer.reply("thanks")
    try:
        alice.ask("bob", "More?", timeout=0.1)
    except DovetailError as error:
        print(type(error).__name__, error)
"""
    assert run(script, addresses, tmp_path) == [
        "soon",
        "now done {'n': 1.0}",
        "[] 0",
        "DeadlineExceededError no reply to message m6 in 0.1 s",
    ]


def test_claims_end_as_their_blocks_end(addresses: str, tmp_path: Path) -> None:
    script = """
from datetime import timedelta
from dovetail.client import LeaseLostError, WorkFailedError, draft
with connect("alice", ADDRESSES) as alice, connect("bob", ADDRESSES) as bob:
    later = timedelta(hours=1)
    alice.tasks.create_many(draft(str(n), input={"n": n}, initial_backoff=later) for n in range(6))
    with bob.claim() as task:
        task.progress(50, "half")
        task.heartbeat()
        task.result("done", data={"twice": 2 * task.input["n"]})
    for error in (ValueError("no"), WorkFailedError("never"), KeyboardInterrupt()):
        try:
            with bob.claim() as task:
                raise error
        except BaseException as raised:
            print(raised is error, alice.tasks.get(task.task_id).state)
    with bob.claim() as task:
        task.complete("early")
    try:
        with bob.claim() as task:
            alice.tasks.cancel(task.task_id)
    except LeaseLostError as lost:
        print(lost.metadata["state"], task.lost is lost)
    with bob.claim() as task:
        print(task.title, task.description, task.task.attempt, task.input)
    try:
        with bob.claim(timeout=0.1) as task:
            print("a task?")
    except DovetailError as error:
        print(type(error).__name__)
    for task in alice.tasks.list():
        percent = task.progress and task.progress.percent
        summary = task.result and task.result.summary
        print(task.title, task.state, percent, summary)
"""
    assert run(script, addresses, tmp_path) == [
        "True pending",
        "True failed",
        "True pending",
        "CANCELLED True",
        "5  1 {'n': 5.0}",
        "DeadlineExceededError",
        "0 completed 50 done",
        "1 pending None None",
        "2 failed None None",
        "3 completed None early",
        "4 cancelled None None",
        "5 completed None ",
    ]


def test_a_worker_runs_its_handler_in_threads(addresses: str, tmp_path: Path) -> None:
    script = """
import threading
from datetime import timedelta
from dovetail.client import draft
hour = timedelta(hours=1)
def answer():
    # Notices of tasks that were completed meanwhile may come before the question.
    with connect("alice", ADDRESSES) as alice, alice.inbox() as inbox:
        question = next(each for each in inbox if "needs an answer" in each.subject)
        alice.tasks.answer(question.task_id, option="blue")
with connect("alice", ADDRESSES) as alice, connect("bob", ADDRESSES) as bob:
    alice.tasks.create_many(draft(str(n)) for n in range(8))
    together = threading.Barrier(4, timeout=30)
    def handle(task):
        together.wait()
        offer = {"options": ["blue", "red"], "default_answer": "red", "answer_within": hour}
        return task.ask("Which colour?", **offer).option if task.title == "3" else task.title
    answering = threading.Thread(target=answer, daemon=True)
    answering.start()
    bob.work(handle, concurrency=4, idle_timeout=0.2)
    answering.join()
    print([task.result.summary for task in alice.tasks.list()])
"""
    expected = "['0', '1', '2', 'blue', '4', '5', '6', '7']"
    assert run(script, addresses, tmp_path) == [expected]


def test_an_interrupted_worker_gives_back_what_it_holds(addresses: str, tmp_path: Path) -> None:
    script = """
import os, signal, threading
with connect("alice", ADDRESSES) as alice, connect("bob", ADDRESSES) as bob:
    alice.tasks.create("x")
    end = threading.Event()
    def handle(task):
        os.kill(os.getpid(), signal.SIGINT)
        end.wait(30)
    try:
        bob.work(handle)
    except KeyboardInterrupt:
        (task,) = alice.tasks.list()
        print(task.state, task.attempt, task.failed_attempts)
    end.set()
"""
    assert run(script, addresses, tmp_path) == ["pending 1 0"]


@pytest.mark.parametrize(
    "name", ["Agent", "Tasks", "HeldTask", "Inbox", "ReceivedMessage", "TaskWatch"]
)
def test_it_has_every_method_that_the_client_has(name: str) -> None:
    source = inspect.getsource(getattr(blocking, name))
    renamed = {"aclose": "close"}
    for method, function in inspect.getmembers(getattr(client, name), inspect.isfunction):
        is_inherited = getattr(getattr(blocking, name), method, None) is function
        if not (method.startswith("_") or is_inherited):
            here = renamed.get(method, method)
            made, written = rf"self\.{here} = .*\.{method}\b", rf"def {here}\("
            assert re.search(f"{made}|{written}", source), method
