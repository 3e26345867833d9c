"""`dovetail mcp` as hosts start it: a process at standard input and output, or at a port."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from mcp import Client

from bridges.hosts import Workplace, bridges, text_of
from bridges.test_mcp_work import assigned
from dovetail.client import TaskState
from support.processes import free_port
from support.waiting import until


@pytest.mark.parametrize("end", ["end of input", "SIGTERM"])
async def test_the_end_of_a_process_gives_back_what_its_session_holds(
    workplace: Workplace, tmp_path: Path, end: str
):
    await assigned(workplace)
    with (tmp_path / "errors").open("w") as errors:
        async with workplace.process("bob", errors=errors) as bob, workplace.agent("ada") as ada:
            await bob.call("claim_task")
            (process,) = bridges()
            if end == "SIGTERM":
                process.send_signal(signal.SIGTERM)

                async def is_given_back() -> bool:
                    return (await ada.tasks.get("t1")).state == TaskState.PENDING

                await until(is_given_back)
    async with workplace.agent("ada") as ada:
        assert (await ada.tasks.get("t1")).state == TaskState.PENDING
    assert not bridges()
    assert (tmp_path / "errors").read_text() == ""


async def test_hosts_of_this_machine_may_speak_http(workplace: Workplace, tmp_path: Path):
    await assigned(workplace)
    port = free_port()
    command = workplace.command("--http", str(port))
    with (tmp_path / "errors").open("w") as errors:
        process = await asyncio.create_subprocess_exec(
            *command, env=workplace.environment("bob"), stderr=errors, stdout=errors
        )
    try:

        async def answered() -> str:
            try:
                async with Client(f"http://127.0.0.1:{port}/mcp") as client:
                    result = await client.call_tool("claim_task", {"task_id": "t1"})
                    return text_of(result.content[0])
            except Exception:  # noqa: BLE001 - the SDK raises groups of what its transport met
                assert process.returncode is None, (tmp_path / "errors").read_text()
                return ""

        assert "t1 in_progress, ada > bob" in await until(answered)
        listening = psutil.Process(process.pid).net_connections("tcp")
        assert {each.laddr.ip for each in listening if each.status == "LISTEN"} == {"127.0.0.1"}
    finally:
        process.terminate()
        async with asyncio.timeout(30):
            await process.wait()
    async with workplace.agent("ada") as ada:
        assert (await ada.tasks.get("t1")).state == TaskState.PENDING


def run(workplace: Workplace, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, which is near."""
    environment = {**workplace.environment("ada"), **variables}
    return subprocess.run(
        workplace.command(),
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )


def test_without_an_agent_it_says_how_to_name_one(workplace: Workplace):
    done = run(workplace, DOVETAIL_AGENT="")
    assert done.returncode == 2
    assert "whose tools? Name their agent: --as AGENT, or DOVETAIL_AGENT" in done.stderr
    assert done.stdout == ""


def test_without_the_extra_it_says_what_to_install(workplace: Workplace, tmp_path: Path):
    (tmp_path / "mcp.py").write_text("raise ImportError('no SDK here')")
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    done = run(workplace, PYTHONPATH=path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'dovetail[mcp]'" in done.stderr
    assert done.stdout == ""
