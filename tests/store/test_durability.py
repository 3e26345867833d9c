"""Durability: an answer leaves the server only after its write was put on disk."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.messaging.v1 import messaging_pb2_grpc
from support.pair import identity
from support.processes import ServerProcess

CALLS = "trace=fdatasync,fsync,pwrite64,pwritev,write,writev,sendmsg,sendto"
PROOF = "proof-of-order"


@contextmanager
def traced(server: ServerProcess, into: Path) -> Generator[None]:
    """Write down the system calls of a server, in their order, for as long as the block lasts."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    assert server.process is not None
    command = ["strace", "-f", "-y", "-s", "4096", "-e", CALLS, "-o", str(into)]
    command += ["-p", str(server.process.pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        attached = strace.stderr.readline()
        if "attached" not in attached:
            pytest.skip(f"strace may not look at processes here: {attached.strip()}")
        yield
        strace.terminate()
        strace.communicate(timeout=60)


def send(server: ServerProcess, **fields: Any) -> pb.SendMessageResponse:
    with grpc.insecure_channel(server.address) as channel:
        request = pb.SendMessageRequest(recipient_ids=["alice"], **fields)
        stub = messaging_pb2_grpc.MessagingServiceStub(channel)
        return stub.SendMessage(request, metadata=identity("alice"))


def finished_syncs(lines: list[str]) -> list[int]:
    """The lines at which a sync of the write-ahead log ended well."""
    syncing: set[str] = set()
    ended: list[int] = []
    for number, line in enumerate(lines):
        thread = line.split()[0]
        whole = re.search(r"f(data)?sync\(\d+<[^>]*-wal>\)\s+= 0", line)
        resumed = re.search(r"<\.\.\. f(data)?sync resumed>.*= 0", line)
        if re.search(r"f(data)?sync\(\d+<[^>]*-wal>.*unfinished", line):
            syncing.add(thread)
        elif whole or (resumed and thread in syncing):
            syncing.discard(thread)
            ended.append(number)
    return ended


def test_an_answer_comes_after_the_sync_of_its_write(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    url = f"sqlite:///{tmp_path}/store.db"
    with ServerProcess("messaging", url, tmp_path / "log") as server:
        send(server, body="before")
        with traced(server, trace):
            send(server, thread_id=PROOF)
    lines = trace.read_text(errors="replace").splitlines()
    written = [n for n, line in enumerate(lines) if "-wal>" in line and "write" in line]
    answers = [n for n, line in enumerate(lines) if PROOF in line and "-wal>" not in line]
    assert len(answers) == 1, lines
    assert "sendmsg(" in lines[answers[0]], lines
    assert written, lines
    last_write = max(number for number in written if number < answers[0])
    assert any(last_write < number < answers[0] for number in finished_syncs(lines)), lines
