"""`dovetail doctor`: finds faults on this machine, and says what to do about them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dovetail.cli import late
from dovetail.cli.options.calling import Servers, failures_explained, server_options
from dovetail.cli.options.formats import prints
from dovetail.cli.options.settings import with_settings
from dovetail.cli.output.brief import begin
from dovetail.cli.output.exit_codes import CommandError
from dovetail.cli.output.printing import Output
from dovetail.cli.output.styled import Text, lines
from dovetail.cli.output.text import escape_controls
from dovetail.cli.servers.health import Health, Probe
from dovetail.cli.servers.serve import store_url
from dovetail.settings import SERVER

if TYPE_CHECKING:
    from dovetail.server.main import Finding

STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}
CALL_SECONDS = 5
ELSEWHERE = "Stop that program, or choose another port: dovetail up --{}-listen HOST:PORT"


@click.command()
@with_settings(SERVER["store"], SERVER["data-dir"])
@click.option("--rebuild-figures", is_flag=True, help="Count the figures of reports anew first.")
@click.option("--rebuild-search", is_flag=True, help="Have servers index words anew.")
@server_options
@prints
def doctor(  # noqa: PLR0913 - one parameter per option
    servers: Servers,
    store: str | None,
    data_dir: Path | None,
    rebuild_figures: bool,
    rebuild_search: bool,
    output: Output,
) -> None:
    """Check the store, ports and servers.

    It changes nothing but what you ask for; servers may keep running. Ends with exit code 1 if a
    check fails.
    """
    if rebuild_figures or rebuild_search:
        _rebuild(store_url(store, data_dir), rebuild_figures, rebuild_search)
    findings = _store(store, data_dir)
    with failures_explained():
        findings += late.asyncio.run(_servers(servers))
    output.facts_list(
        [asdict(each) for each in findings], lambda: lines(*map(_picture, findings)), _brief
    )
    failed = [finding.check for finding in findings if finding.level == "fail"]
    if failed:
        raise CommandError(f"{len(failed)} failed: {', '.join(failed)}")


def _store(store: str | None, data_dir: Path | None) -> list[Finding]:
    """Check the store; a machine that only calls servers elsewhere may have none."""
    from dovetail.server.main import Finding, Level, check_store  # slow to load

    try:
        return check_store(store_url(store, data_dir))
    except CommandError as error:
        return [Finding(check="store", level=Level.WARN, text=error.message)]


def _rebuild(url: str, figures: bool, search: bool) -> None:
    from dovetail.server import main  # slow to load

    try:
        if figures:
            main.rebuild_figures(url)
        if search:
            main.rebuild_search(url)
    except main.StoreOpenError as error:
        raise CommandError(str(error)) from error


def _brief(finding: Mapping[str, Any]) -> str:
    return f"{finding['level']} {finding['check']}: {begin(finding['text'])}"


def _picture(finding: Finding) -> Text:
    text = Text.assemble(
        (f"{finding.level:<5}", STYLES[finding.level]),
        (f"{finding.check:<16}", "bold"),
        escape_controls(" ".join(finding.text.split())),
    )
    return text.append(f"\n     {finding.advice}", style="cyan") if finding.advice else text


async def _servers(servers: Servers) -> list[Finding]:
    from dovetail.cli.servers.probe import probe_all  # Loads gRPC.

    findings: list[Finding] = []
    for probe in await probe_all(servers):
        findings.append(_port(probe))
        if probe.health is Health.SERVING:
            findings.append(await _call(servers, probe))
    return findings


def _port(probe: Probe) -> Finding:
    """The finding for an address: what listens there."""
    from dovetail.cli.servers.probe import is_here
    from dovetail.server.main import Finding, Level

    check, address = f"{probe.service} port", probe.address
    if probe.health is Health.SERVING:
        return Finding(check=check, level=Level.OK, text=f"{address}: Dovetail serves there")
    if probe.health is Health.NOT_RUNNING and is_here(address):
        return Finding(check=check, level=Level.OK, text=f"{address}: free, nothing runs there")
    text = f"{address}: {probe.health}: {probe.explanation}"
    if probe.health is Health.OTHER_SERVICE:
        return Finding(check=check, level=Level.FAIL, text=f"{address}: {probe.explanation}")
    advice = {
        Health.NOT_SERVING: "See its log, and the findings about the store",
        Health.ANOTHER: ELSEWHERE.format(probe.service),
        Health.ENCRYPTED: "Name the CA of its certificate: --tls-ca FILE",
        Health.BEHIND_PROXY: "export no_proxy=HOST, or ask the proxy's admin",
        Health.UNTRUSTED: "See which files are used: dovetail config",
    }.get(probe.health, f"Is the address right? Set it: --{probe.service} HOST:PORT")
    return Finding(check=check, level=Level.FAIL, text=text, advice=advice)


async def _call(servers: Servers, probe: Probe) -> Finding:
    """The finding for a call that reads the store."""
    from dovetail.server.main import Finding, Level

    check = f"{probe.service} call"
    clock = late.asyncio.get_running_loop().time
    one = replace(servers, messaging=probe.address, tasks=probe.address)
    async with one.connect(seconds=CALL_SECONDS) as agent:
        begin = clock()
        try:
            async for _ in _first_page(agent, probe.service):
                break
        except late.client.DovetailError as error:
            if late.failures.is_refusal_of_admin(error):
                text = "the token is an admin's, who sees no team: who holds it was read"
                return Finding(check=check, level=Level.OK, text=text)
            text, advice = late.failures.describe(error), late.failures.explain(error).hint
            return Finding(check=check, level=Level.FAIL, text=text, advice=advice)
        took = 1_000 * (clock() - begin)
    return Finding(check=check, level=Level.OK, text=f"returned in {took:.1f} ms")


def _first_page(agent: late.client.Agent, service: str) -> AsyncIterator[object]:
    return agent.agents(page_size=1) if service == "messaging" else agent.tasks.list(page_size=1)
