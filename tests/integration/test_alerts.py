# SPDX-License-Identifier: Apache-2.0
"""The rules for Prometheus and the dashboard for Grafana that the package brings ask for what a running proxy shows, and say what to do."""
import itertools
import json
import pathlib
import re

import pytest
import yaml
from harness import promql
from harness.configs import forward
from harness.metrics import scrape_families
from harness.ports import take_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES = yaml.safe_load((ROOT / "packaging/alerts.rules.yml").read_text())
BOARD = json.loads((ROOT / "packaging/grafana.json").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
VARIABLES = {row["name"]: row for row in BOARD["templating"]["list"]}
UNITS = ("short", "reqps", "ops", "percentunit", "s", "bytes", "Bps", "dtdurations")


def shown(start, upstream):
    """What one proxy shows that has a route, a quota in force, one in shadow, and an upstream."""
    port = take_port()
    quotas = {"ip": {"key": ["ip"], "limits": {"hour": 3}}, "try": {"key": ["ip"], "limits": {"hour": 1}, "mode": "shadow"}}
    start(forward(upstream(), quotas=quotas, admin={"metrics": f"127.0.0.1:{port}"}))
    return scrape_families(port)


def anchors(page):
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)}


def test_every_alert_says_what_to_do():
    assert len(ALERTS) >= 15 and len({alert["alert"] for alert in ALERTS}) == len(ALERTS)
    for alert in ALERTS:
        name, notes = alert["alert"], alert["annotations"]
        assert re.fullmatch(r"Sluice[A-Z]\w+", name) and set(alert) <= {"alert", "expr", "for", "labels", "annotations"}
        assert alert["labels"] == {"severity": alert["labels"]["severity"]} and alert["labels"]["severity"] in ("page", "ticket"), name
        assert re.fullmatch(r"[0-9]+[smh]", alert.get("for", "1m")), name
        assert set(notes) == {"summary", "description", "runbook_url"}, name
        assert notes["summary"].startswith("{{ $labels.instance }}: ") and len(notes["description"]) > 60 and notes["description"].endswith("."), name
        page, anchor = notes["runbook_url"].split("#")
        assert page == "docs/operations.md" and anchor == name.lower() and anchor in anchors(ROOT / page), name
    told = re.findall(r"^### (Sluice\w+)$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    assert told == [alert["alert"] for alert in ALERTS], "the page has every alert, in the order of the file"


def test_what_alerts_say_is_of_their_own_labels():
    """{{ $labels.x }} is a label that the expression leaves."""
    for alert in ALERTS:
        used = set(re.findall(r"\$labels\.(\w+)", str(alert["annotations"])))
        grouped = re.findall(r"by \(([^)]*)\)", alert["expr"])
        left = {"instance"} | ({"upstream"} if "sluice_upstream_servers" in alert["expr"] else set())
        for labels in grouped:
            left &= {label.strip() for label in labels.split(",")}
        assert used <= left, (alert["alert"], used - left)


WRONG = {
    "rate(sluice_nothing_total[5m])": "no metric",
    'rate(sluice_decisions_total{verdict="allow"}[5m])': "no label verdict",
    'rate(sluice_decisions_total{decision="alow"}[5m])': "no series",
    'rate(sluice_exchanges_total{end=~"shed|shedd"}[5m])': "end = shedd",
    "sum by (rout) (rate(sluice_route_requests_total[5m]))": "no label rout",
    "sluice_decisions_near_total > 0": "only its rate",
}


def test_both_ask_for_what_there_is(start, upstream):
    families, asked = shown(start, upstream), 0
    faults = list(itertools.chain.from_iterable(promql.check(alert["expr"], families) for alert in ALERTS))
    for panel in PANELS:
        for target in panel["targets"]:
            faults += promql.check(target["expr"].replace("[$__rate_interval]", "[5m]"), families)
            asked += 1
    metric = re.fullmatch(r"label_values\((\w+), instance\)", VARIABLES["instance"]["query"]["query"])[1]
    assert faults == [] and asked >= 40 and metric in families
    for text, why in WRONG.items():
        assert why in " ".join(promql.check(text, families)), text


def test_every_panel_says_what_it_shows():
    assert set(VARIABLES) == {"datasource", "instance"}
    for panel in PANELS:
        assert panel["title"] and panel["description"] and panel["fieldConfig"]["defaults"]["unit"] in UNITS and panel["targets"], panel["title"]
        for target in panel["targets"]:
            selectors, grouped = promql.parse(target["expr"])
            assert all(("instance", "=~", "$instance") in selector.matchers for selector in selectors), f"{panel['title']} is of the chosen proxies"
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= set(grouped) and target["legendFormat"], panel["title"]
    boxes = {(x, y) for p in BOARD["panels"] for x in range(p["gridPos"]["x"], p["gridPos"]["x"] + p["gridPos"]["w"])
             for y in range(p["gridPos"]["y"], p["gridPos"]["y"] + p["gridPos"]["h"])}
    assert len(boxes) == sum(p["gridPos"]["w"] * p["gridPos"]["h"] for p in BOARD["panels"]), "no panel lies on another"
    assert max(x for x, _ in boxes) <= 23 and len({p["id"] for p in BOARD["panels"]}) == len(BOARD["panels"])


@pytest.mark.parametrize("text", ["sum(sluice_ready", "sluice_ready}", "rate(sluice_x[5])", "frobnicate(sluice_ready)", "sluice_ready # 1", "{a=\"b\"}"])
def test_an_expression_that_is_none_is_refused(text):
    with pytest.raises(AssertionError):
        promql.parse(text)
