"""Dashboard, alert rules and the page for operators name metrics that there are, with the labels that they have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from actod.service.metrics import METRICS, Metric
from hil.rig import ROOT

RULES = ROOT / "deploy" / "prometheus" / "actod.rules.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "actod.json"
PAGE = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
OF_PROMETHEUS = {"instance", "job", "le"}  # labels that we do not set
_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count")}
SAMPLES = {metric.name + suffix: metric for metric in METRICS for suffix in _SUFFIXES.get(metric.kind, ("",))}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="ascii"))["panels"]
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """Yield (where, expression) of all that is asked of Prometheus, and what its text shows of the answer."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def metrics_in(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Yield each metric of ours that an expression names, with the labels that it selects by."""
    for name, matchers in re.findall(r"\b(actod_\w+)(?:\{([^}]*)\})?", expression):
        yield name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", matchers))


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_each_expression_asks_for_metrics_that_there_are_in_the_way_of_their_kind(where: str, expression: str) -> None:
    named = list(metrics_in(expression))
    assert named or expression == 'up{job="actod"} == 0', where
    grouped = {label for words in re.findall(r"by \(([^)]*)\)", expression) for label in words.split(", ")}
    for name, labels in named:
        assert name in SAMPLES, f"{where}: there is no {name}"
        metric = SAMPLES[name]
        assert labels <= {*metric.labels} | OF_PROMETHEUS
        counted = metric.kind != "gauge"
        assert bool(re.search(rf"(?:rate|increase)\({name}\b", expression)) == counted, f"{where}: {name} is a {metric.kind}"
    assert grouped <= {label for name, _ in named for label in SAMPLES[name].labels} | OF_PROMETHEUS


def test_each_metric_can_be_seen_in_the_dashboard_or_alerted_of_or_is_known_not_to_be() -> None:
    shown = {SAMPLES[name].name for _, expression in expressions() for name, _ in metrics_in(expression)}
    left_out = {
        *("actod_start_time_seconds", "actod_intake_state", "actod_losses_pending", "actod_journal_messages"),
        *("actod_archive_bundles", "actod_archive_bytes", "actod_store_file_bytes", "actod_messages_refused_total"),
        *("actod_clock_steps_total", "actod_audit_lines_total", "actod_metrics_requests_total"),
    }
    assert {metric.name for metric in METRICS} - shown == left_out


def test_each_rule_says_how_bad_it_is_what_happened_and_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert re.fullmatch(r"\d+[mh]", rule["for"])
        assert rule["annotations"].keys() == {"summary", "action"}
        labels = {label for name, _ in metrics_in(rule["expr"]) for label in SAMPLES[name].labels} | OF_PROMETHEUS
        text = " ".join(rule["annotations"].values())
        assert set(re.findall(r"\$labels\.(\w+)", text)) <= labels
        for page in re.findall(r"docs/(\w+\.md)", text):
            assert (ROOT / "docs" / page).exists()


def test_the_dashboard_is_one_that_grafana_draws_for_any_source_and_robot() -> None:
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == "${datasource}"
            assert 'instance=~"$instance"' in target["expr"]
            labels = {label for name, _ in metrics_in(target["expr"]) for label in SAMPLES[name].labels} | OF_PROMETHEUS
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels


def row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels) if metric.kind != "histogram" else ""
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.kept} | {metric.meaning} |"


def test_the_page_explains_each_metric_as_the_program_does() -> None:
    assert re.findall(r"^\| `actod_.*\|$", PAGE, re.MULTILINE) == [row(metric) for metric in METRICS]


def test_what_the_page_says_of_ports_folders_and_files_holds_for_unit_and_package() -> None:
    unit = (ROOT / "deploy/systemd/actod.service").read_text(encoding="utf-8")
    tmpfiles = (ROOT / "deploy/systemd/actod.tmpfiles").read_text(encoding="utf-8")
    build = (ROOT / "deploy/debian/build").read_text(encoding="utf-8")
    (port,) = re.findall(r'^listen = "127\.0\.0\.1:(\d+)"', PAGE, re.MULTILINE)
    (folder,) = re.findall(r'^textfile = "(/run/[\w-]+)/actod\.prom"', PAGE, re.MULTILINE)
    assert f"\nSocketBindDeny=any\nSocketBindAllow=ipv4:tcp:{port}\n" in unit
    assert unit.count("SocketBindAllow=ipv4") == 1
    assert f"\nReadWritePaths=-{folder}\n" in unit
    assert f"\nd {folder} 0755 actod actod\n" in tmpfiles
    for file in (DASHBOARD, RULES):
        assert f"/usr/share/actod/{file.parent.name}/{file.name}" in build
        assert f"{file.parent.name}/{file.name}" in PAGE
