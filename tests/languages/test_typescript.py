"""The TypeScript client, as an application uses it, against servers that are killed."""

from __future__ import annotations

import filecmp
import json
import os
import random
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dovetail.client.blocking import connect, connect_admin
from dovetail.client.security import channel_credentials
from support.certificates import Authority
from support.processes import ServerProcess, process_pair
from support.soak import SOAK, full_or_tenth
from support.stubs import ROOT, run_commands, skip_without

pytestmark = [pytest.mark.timeout(600)]

CLIENT = ROOT / "clients" / "typescript"
PROGRAMS = ROOT / "tests" / "languages" / "client"
BUILD = """
cd clients/typescript
npm ci --silent --no-audit --no-fund
buf generate ../../protos
buf generate protos
npm run --silent build
mkdir -p ../../consumer/src
cd ../../consumer
npm init --yes >/dev/null
npm pkg set type=module >/dev/null
npm install --silent --no-audit --no-fund --install-links ../clients/typescript
npm install --silent --no-audit --no-fund --save-dev typescript@5 @types/node@20
cp PROGRAMS/*.ts src/
npx tsc --outDir dist --target es2022 --module nodenext --strict --noUncheckedIndexedAccess \\
  --exactOptionalPropertyTypes src/*.ts
"""
"""The client from what is committed, and the programs in a project of their own, strictly."""

HANDS = 64
KILLS = full_or_tenth(60) // (1 if SOAK else 3)
RESUMED = full_or_tenth(20)
PAUSE_SECONDS = 1.0
SECONDS = 60.0


@pytest.fixture(scope="module")
def consumer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a project that uses the client."""
    skip_without("npm")
    folder = tmp_path_factory.mktemp("typescript")
    run_commands(BUILD.replace("PROGRAMS", str(PROGRAMS)), folder)
    return folder / "consumer"


def test_the_code_is_generated_from_the_protos(consumer: Path) -> None:
    made, committed = (
        consumer.parent / "clients" / "typescript" / "src" / "generated",
        CLIENT / "src" / "generated",
    )
    names = sorted(str(each.relative_to(made)) for each in made.rglob("*.ts"))
    assert names == sorted(str(each.relative_to(committed)) for each in committed.rglob("*.ts"))
    _, changed, unread = filecmp.cmpfiles(made, committed, names, shallow=False)
    assert (changed, unread) == ([], []), "run: npm run generate"


@contextmanager
def running(consumer: Path, *words: str, **environment: str) -> Generator[subprocess.Popen[str]]:
    """A program of the project, until the end of the block."""
    program = subprocess.Popen(
        ["node", f"dist/{words[0]}.js", *words[1:]],
        cwd=consumer,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield program
    finally:
        program.kill()
        program.communicate(timeout=SECONDS)


def line(program: subprocess.Popen[str]) -> str:
    """The next line that it prints."""
    assert program.stdout is not None
    return program.stdout.readline().rstrip("\n")


def tell(program: subprocess.Popen[str], word: str) -> None:
    """Write it a line."""
    assert program.stdin is not None
    program.stdin.write(f"{word}\n")
    program.stdin.flush()


@pytest.mark.soak
def test_sends_at_once_are_neither_lost_nor_doubled_by_kills(
    consumer: Path, sqlite_url: str, tmp_path: Path, report_figures: Callable[[str], None]
) -> None:
    with (
        ServerProcess("messaging", sqlite_url, tmp_path / "server.log") as server,
        running(consumer, "hands", server.address, str(HANDS)) as program,
    ):
        assert line(program) == "ready"
        for _ in range(KILLS):
            time.sleep(PAUSE_SECONDS)
            server.kill()
            server.start(wait=False)
        server.wait_until_serving()
        told = json.loads(program.communicate(timeout=SECONDS * 3)[0])
    report_figures(
        f"{KILLS} kills under {HANDS} sends at once: {told['sent']:,} sent, {told['read']:,} read"
        f" and acknowledged; given up {len(told['givenUp'])}, lost {len(told['lost'])},"
        f" twice {len(told['twice'])}, gaps {len(told['gaps'])}"
    )
    assert told["sent"] > HANDS
    for wrong in ("givenUp", "lost", "twice", "unread", "gaps", "unacknowledged"):
        assert told[wrong] == [], wrong
    assert told["read"] == told["sent"]


@pytest.mark.soak
def test_an_inbox_is_resumed_after_its_cursor_over_kills(
    consumer: Path, sqlite_url: str, tmp_path: Path
) -> None:
    chance = random.Random(16)
    read: list[str] = []
    with process_pair(sqlite_url, tmp_path) as servers:
        places = environment(servers)
        with connect("bob", messaging=servers[0].address, tasks=servers[1].address) as bob:
            bob.register()
            for kill in range(RESUMED):
                with running(consumer, "resume", str(len(read)), **places) as program:
                    for number in range(20):
                        bob.send("bob", f"{kill}-{number}")
                    if chance.random() < 0.5:
                        servers[0].kill()
                        servers[0].start(wait=False)
                    read += [line(program) for _ in range(chance.randint(5, 15))]
                servers[0].wait_until_serving()
            with running(consumer, "resume", str(len(read)), **places) as program:
                while len(read) < 20 * RESUMED:
                    read.append(line(program))
    sent = [f"{kill}-{number}" for kill in range(RESUMED) for number in range(20)]
    assert read == [f"{number} {body}" for number, body in enumerate(sent, 1)]


def environment(servers: tuple[ServerProcess, ServerProcess], agent: str = "bob") -> dict[str, str]:
    """What tells a program where the servers are, and who it is."""
    return {
        "DOVETAIL_MESSAGING": servers[0].address,
        "DOVETAIL_TASKS": servers[1].address,
        "DOVETAIL_AGENT": agent,
    }


def test_a_claim_keeps_its_lease_and_its_signal_ends_with_it(
    consumer: Path, sqlite_url: str, tmp_path: Path
) -> None:
    with (
        process_pair(sqlite_url, tmp_path, ("--shortest-lease-seconds", "1")) as servers,
        connect("joe", messaging=servers[0].address, tasks=servers[1].address) as joe,
        running(consumer, "holder", **environment(servers)) as holder,
    ):

        def given(word: str) -> str:
            """The id of a new task, which it holds and is to do something with."""
            task_id = joe.tasks.create("work").task_id
            tell(holder, word)
            assert line(holder) == f"holds {task_id}"
            return task_id

        done = given("complete")
        assert line(holder) == "COMPLETED"
        task = joe.tasks.get(done)
        assert (task.attempt, task.result.summary, task.result.data) == (
            1,
            "done",
            {"words": 6},
        )
        given("fail")
        assert line(holder) == "FAILED"
        released = given("release")
        assert line(holder) == "PENDING"
        joe.tasks.cancel(released)
        joe.tasks.cancel(given("wait"))
        assert line(holder) == "LEASE_LOST"
        given("wait")
        servers[1].kill()
        assert line(holder) == "TimeoutError"


def test_errors_say_what_became_of_the_call(
    consumer: Path, sqlite_url: str, tmp_path: Path
) -> None:
    with (
        process_pair(sqlite_url, tmp_path) as servers,
        running(consumer, "errors", **environment(servers, "alice")) as program,
    ):
        assert program.communicate(timeout=SECONDS)[0].splitlines() == [
            *REFUSALS,
            "Zoë Müller: grüß dich",
            "true true",
        ]


REFUSALS = [
    "NotFound AGENT_NOT_FOUND nothing",
    "InvalidArgument INVALID_FIELDS nothing recipient_ids",
    "NotFound TASK_NOT_FOUND nothing",
    "Unavailable - unknown",
    "NotFound TASK_NOT_FOUND nothing",
    "ConnectError",
    "Error",
    "true",
]


def test_it_calls_with_tokens_over_tls(consumer: Path, sqlite_url: str, tmp_path: Path) -> None:
    authority = Authority(folder=tmp_path / "authority")
    files, admin = authority.server(), tmp_path / "admin.token"
    options = ("--credentials", "--admin-token-file", str(admin))
    options += ("--tls-cert", str(files.cert), "--tls-key", str(files.key))
    trusting = channel_credentials(authority.tls)
    with process_pair(sqlite_url, tmp_path, options, credentials=trusting) as servers:
        token = tmp_path / "alice.token"
        with connect_admin(
            messaging=servers[0].address,
            tasks=servers[1].address,
            token_file=admin,
            tls=authority.tls,
        ) as session:
            session.create_team("red")
            token.write_text(session.create_token(team_id="red", agent_id="alice")[1])
            token.chmod(0o600)
        secure = {"DOVETAIL_TOKEN_FILE": str(token), "DOVETAIL_TLS_CA": str(authority.ca)}
        with running(consumer, "errors", **environment(servers), **secure) as program:
            printed = program.communicate(timeout=SECONDS)[0].splitlines()
    assert printed == [*REFUSALS, "true true"]
