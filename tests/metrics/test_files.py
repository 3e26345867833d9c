"""Docs, dashboard and alerts: each names what there is, and all of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dovetail.server.access.rights import RIGHTS
from dovetail.server.errors import Reason
from dovetail.server.metrics.table import METRICS, Kind
from dovetail.server.store.tables.task_states import TaskState
from metrics.promql import (
    ALERTS,
    DASHBOARD,
    TARGET,
    alerts,
    expressions,
    grouped_by,
    names,
    panels,
    sample_labels,
    selectors,
)

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "monitoring.md"
PROMTOOL = shutil.which("promtool")
only_with_promtool = pytest.mark.skipif(not PROMTOOL, reason="promtool is not installed")

METHODS = {
    f"{service.rpartition('.')[2]}/{rpc}"
    for service, rpc in (method.removeprefix("/").split("/") for method in RIGHTS)
}
VALUES = {
    "reason": {each.value for each in Reason},
    "state": {each.name for each in TaskState},
    "method": METHODS,
}


def test_the_page_has_the_table_of_the_code() -> None:
    rows = re.findall(
        r"^\| `(dovetail_\w+)` \| (.*?) \| (.*?) \| (.*?) \| (.*) \|$", PAGE.read_text(), re.M
    )
    kinds = {Kind.FIGURE: "gauge, read"}
    assert rows == [
        (
            metric.name,
            kinds.get(metric.kind, metric.kind.value),
            ", ".join(f"`{label}`" for label in metric.labels) or "none",
            metric.service or "both",
            metric.help,
        )
        for metric in METRICS
    ]


def test_the_page_names_no_metric_that_does_not_exist() -> None:
    known = {*sample_labels(), *(metric.name for metric in METRICS)}
    assert set(re.findall(r"dovetail_[a-z_]+", PAGE.read_text())) <= known


def test_the_page_says_what_to_do_about_each_alert() -> None:
    told = re.findall(r"`(Dovetail\w+)`", PAGE.read_text())
    assert sorted(told) == sorted(rule["alert"] for rule in alerts())


def test_names_follow_the_conventions() -> None:
    """Base units, at the end; a counter ends in _total, and only a counter."""
    for metric in METRICS:
        assert metric.name.startswith("dovetail_")
        assert metric.name.endswith("_total") is (metric.kind is Kind.COUNTER), metric.name
        assert bool(metric.buckets) is (metric.kind is Kind.HISTOGRAM), metric.name
        assert metric.help.endswith("."), metric.name
        assert not re.search(r"_(milliseconds|micros|kilobytes|percent)\b", metric.name)


@pytest.mark.parametrize("expression", expressions())
def test_an_expression_names_metrics_labels_and_values_that_exist(expression: str) -> None:
    known = sample_labels()
    assert names(expression)
    assert names(expression) <= set(known), expression
    for name, conditions in selectors(expression):
        assert conditions.keys() <= known[name] | TARGET, expression
        for label, pattern in conditions.items():
            if label in VALUES:
                assert set(pattern.split("|")) <= VALUES[label], expression
    labels = set[str]().union(*(known[name] for name in names(expression)))
    assert grouped_by(expression) <= labels | TARGET, expression


def test_the_dashboard_shows_each_metric() -> None:
    shown = {name for expression in expressions() for name in names(expression)}
    for metric in METRICS:
        assert any(name.startswith(metric.name) for name in shown), metric.name


def test_the_dashboard_can_be_imported() -> None:
    board = json.loads(DASHBOARD.read_text())
    assert [each["name"] for each in board["templating"]["list"]] == [
        "datasource",
        "job",
        "instance",
    ]
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(numbers) == len(set(numbers))
    places = {tuple(panel["gridPos"].values()) for panel in board["panels"]}
    assert len(places) == len(numbers)
    for panel in panels():
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]


def test_each_alert_says_how_bad_it_is_and_what_it_means() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in ("info", "warning", "critical"), rule
        assert set(rule["annotations"]) == {"summary", "description"}, rule


@only_with_promtool
def test_promtool_accepts_the_rules() -> None:
    said = subprocess.run(
        [str(PROMTOOL), "check", "rules", str(ALERTS)], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr


@only_with_promtool
def test_the_rules_fire_when_they_should() -> None:
    cases = Path(__file__).with_name("alerts_test.yaml")
    said = subprocess.run(
        [str(PROMTOOL), "test", "rules", str(cases)], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr
