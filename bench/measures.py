"""What can be measured: a function for each measure, which makes its cases over the servers."""

from __future__ import annotations

from bench.claiming import claim
from bench.searching import search
from bench.sending import batch, guard, send, teams
from bench.starting import start
from bench.streams import backlog, deliver, fanout, idle
from bench.working import life, report

MEASURES = {
    each.__name__: each
    for each in (
        *(send, teams, batch, deliver, backlog, fanout, idle),
        *(life, claim, report, search, guard, start),
    )
}
