"""What expressions of PromQL name: a parse of our own, as promtool may not be installed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from dovetail.server.metrics.table import METRICS, Kind

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = DEPLOY / "grafana" / "dovetail.json"
ALERTS = DEPLOY / "prometheus" / "alerts.yaml"

TARGET = {"job", "instance"}
"""Labels that Prometheus itself adds."""

OTHERS = {"up", "process_cpu_seconds_total", "process_resident_memory_bytes"}
"""Metrics that are Prometheus' own, or its library's."""

_NAME = re.compile(r"\b(?:dovetail|process)_[a-z0-9_]+\b|\bup\b")
_SELECTOR = re.compile(r"([a-z_]+)\{([^}]*)\}")
_LABEL = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING = re.compile(r"\bby \(([^)]*)\)")


def sample_labels() -> dict[str, set[str]]:
    """The labels of each sample that a server may show, by the sample's name."""
    found = {name: set[str]() for name in OTHERS}
    for metric in METRICS:
        labels = set(metric.labels)
        if metric.kind is Kind.HISTOGRAM:
            found |= {f"{metric.name}_{part}": labels for part in ("sum", "count")}
            found[f"{metric.name}_bucket"] = labels | {"le"}
        else:
            found[metric.name] = labels
    return found


def names(expression: str) -> set[str]:
    """The metrics that an expression names."""
    return set(_NAME.findall(re.sub(r'"[^"]*"', '""', expression)))


def selectors(expression: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The metrics with a condition on labels, and the values asked for."""
    for name, conditions in _SELECTOR.findall(expression):
        yield name, dict(_LABEL.findall(conditions))


def grouped_by(expression: str) -> set[str]:
    """The labels by which an expression groups."""
    return {label.strip() for group in _GROUPING.findall(expression) for label in group.split(",")}


def alerts() -> list[dict[str, Any]]:
    """The rules of the file of alerts."""
    return [
        rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
    ]


def panels() -> list[dict[str, Any]]:
    """The panels of the dashboard that show something."""
    return [each for each in json.loads(DASHBOARD.read_text())["panels"] if each["type"] != "row"]


def shown() -> list[str]:
    """The expressions of the dashboard."""
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def expressions() -> list[str]:
    """Those of the dashboard and the alerts."""
    return [*shown(), *(rule["expr"] for rule in alerts())]
