"""`status` and `doctor` reach a server by the same way as every call."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path

import pytest

from cli.shell import PROGRAM, Shell
from dovetail.client.security import is_local
from support.certificates import Authority
from support.processes import free_port

NOWHERE = "http://127.0.0.1:9"
BY_PROXY = {
    **dict.fromkeys(("http_proxy", "https_proxy", "grpc_proxy"), NOWHERE),
    **dict.fromkeys(("no_proxy", "no_grpc_proxy"), ""),
}


@pytest.mark.parametrize("words", [("status",), ("doctor",), ("send", "--as", "bob", "bob", "x")])
def test_what_is_on_this_machine_is_reached_without_the_proxy(
    shell: Shell, words: tuple[str, ...], tmp_path: Path
):
    there = shell.within(**BY_PROXY, DOVETAIL_DATA_DIR=str(tmp_path))
    done = there.run(*words)
    assert done.exit_code == 0, done


def test_a_proxy_that_leads_nowhere_is_named_unless_the_host_is_in_no_proxy(shell: Shell):
    # An address of documentation: nothing is sent to it, for the proxy refuses.
    far = dataclasses.replace(shell, messaging="192.0.2.1:50051", tasks="192.0.2.1:50052")
    done = far.within(**BY_PROXY).run("status")
    assert done.exit_code == 6
    assert done.error.count("the proxy that http_proxy") == 2
    assert "name this host in no_proxy" in done.error


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1:1", True),
        ("ipv4:127.0.0.1:1", True),
        ("[::1]:1", True),
        ("ipv6:[::1]:1", True),
        ("[::ffff:127.0.0.1]:1", True),
        ("dns:///localhost:1", True),
        ("unix:/run/x", True),
        ("10.0.0.1:1", False),
        ("[::ffff:10.0.0.1]:1", False),
        ("dns:///example.org:1", False),
        ("dns://127.0.0.1/example.org:1", False),
    ],
)
def test_what_can_only_be_this_machine_is_known(address: str, local: bool):
    assert is_local(address) is local


def test_a_certificate_for_another_name_is_checked_for_that_name(shell: Shell, tmp_path: Path):
    authority = Authority(folder=tmp_path / "tls")
    pair = authority.server(hosts=("dovetail.internal",))
    command = [*PROGRAM, "serve", "messaging", "--listen", "127.0.0.1:0", "--json"]
    command += ["--store", f"sqlite:///{tmp_path}/store.db"]
    command += ["--tls-cert", str(pair.cert), "--tls-key", str(pair.key)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        try:
            address = json.loads(server.stdout.readline())["address"]
            there = dataclasses.replace(
                shell, messaging=address, tasks=f"127.0.0.1:{free_port()}"
            ).within(DOVETAIL_TLS_CA=str(authority.ca), DOVETAIL_DATA_DIR=str(tmp_path / "none"))
            named = there.within(DOVETAIL_TLS_SERVER_NAME="dovetail.internal")
            found = json.loads(named.run("status", "--json").out)["servers"]
            wrong = json.loads(there.run("status", "--json").out)["servers"]
            doctor = named.run("doctor")
        finally:
            server.kill()
    assert (found[0]["health"], wrong[0]["health"]) == ("serving", "untrusted")
    assert doctor.exit_code == 0, doctor
    assert "Dovetail serves there" in doctor.out
