"""How soon clients are back after a server serves again, and how often they try until then.

    python -m bench.reconnecting [--clients 1000] [--restarts 10]

The server is a real one, killed and started again. Each of the many clients has a connection of
its own, as it has in a process of its own: within one, gRPC shares connections to an address.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from dovetail.client import Agent, connect, connection
from support.processes import ServerProcess

NETWORK = Path("/proc/net/snmp")
OUTAGE_SECONDS = 5.0
OWN_CONNECTION = ("grpc.use_local_subchannel_pool", 1)


def failed_attempts() -> int:
    """How many connections could not be made, in this network namespace since it exists."""
    names, values = (line.split() for line in NETWORK.read_text().splitlines() if "Tcp:" in line)
    return int(values[names.index("AttemptFails")])


def cpu_seconds(process_id: int) -> float:
    """The CPU time of a process."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def until_listening(server: ServerProcess) -> float:
    """Start the server without waiting for it; return the time from which it takes connections."""
    server.start(wait=False)
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        except OSError:
            await asyncio.sleep(0.001)
        else:
            writer.close()
            return time.perf_counter()


async def one_client(server: ServerProcess, restarts: int) -> None:
    """Print how soon a call that waits, and a stream, are back."""
    calls, streams = list[float](), list[float]()
    for number in range(restarts):
        async with connect("alice", messaging=server.address, timeout=60) as alice:
            await alice.register()
            inbox = alice.inbox()
            await alice.send("alice", "before")
            await anext(inbox)
            server.kill()
            reading, sending = _reading(inbox), _sending(alice)
            await asyncio.sleep(1 + 0.13 * number)  # Any moment between two attempts.
            since = await until_listening(server)
            calls.append(await sending - since)
            streams.append(await reading - since)
            await inbox.aclose()
            await alice.acknowledge(through=2 * number + 2)
    _print("a call that waited", calls)
    _print("a stream's next message", streams)


def _sending(agent: Agent) -> asyncio.Task[float]:
    async def send() -> float:
        await agent.send("alice", "after")
        return time.perf_counter()

    return asyncio.create_task(send())


def _reading(inbox: object) -> asyncio.Task[float]:
    async def read() -> float:
        await anext(inbox)  # type: ignore[call-overload]
        return time.perf_counter()

    return asyncio.create_task(read())


async def many_clients(server: ServerProcess, count: int) -> None:
    """Print how often many clients try while there is no server, and how soon all are back."""
    connection.OPTIONS = (*connection.OPTIONS, OWN_CONNECTION)
    async with AsyncExitStack() as stack:
        agents = [
            await stack.enter_async_context(
                connect(f"agent{number}", messaging=server.address, timeout=60)
            )
            for number in range(count)
        ]
        for agent in agents:
            await agent.register()
        server.kill()
        back = [asyncio.create_task(_back(agent)) for agent in agents]
        await asyncio.sleep(1)
        before, own = failed_attempts(), time.process_time()
        await asyncio.sleep(OUTAGE_SECONDS)
        attempts = (failed_attempts() - before) / OUTAGE_SECONDS
        share = (time.process_time() - own) / OUTAGE_SECONDS
        print(f"{count} clients without a server: {attempts:,.0f} attempts a second,", end=" ")
        print(f"{1000 * share / attempts:.3f} ms of CPU each")
        since = await until_listening(server)
        _print(f"{count} clients are back", [when - since for when in await asyncio.gather(*back)])
        assert server.process is not None
        print(f"the server used {cpu_seconds(server.process.pid):.2f} s of CPU since its start")


async def _back(agent: Agent) -> float:
    await agent.agent()
    return time.perf_counter()


def _print(what: str, seconds: Sequence[float]) -> None:
    least, middle, most = min(seconds), statistics.median(seconds), max(seconds)
    print(f"{what}: {1000 * middle:.0f} ms (median), {1000 * least:.0f} to {1000 * most:.0f}")


async def main() -> None:
    """Measure both."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--clients", type=int, default=1_000)
    options.add_argument("--restarts", type=int, default=10)
    chosen = options.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{folder}/store.db"
        with ServerProcess(
            "messaging", store, Path(folder, "messaging.log"), is_cold=True
        ) as server:
            if chosen.restarts:
                await one_client(server, chosen.restarts)
            if chosen.clients:
                await many_clients(server, chosen.clients)


if __name__ == "__main__":
    asyncio.run(main())
