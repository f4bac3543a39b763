"""What the files in deploy/observability hold, and what METRICS.md says of the metrics that they may use."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import promql
import yaml
from daemon import ROOT

FOLDER = ROOT / "deploy" / "observability"
ALERTS, CASES = FOLDER / "alerts.yaml", FOLDER / "alerts_test.yaml"
PROMTOOL = Path(shutil.which("promtool") or ROOT / "target" / "prometheus" / "promtool")

# What Prometheus gives to all that it scrapes.
TARGET = frozenset({"instance", "job"})
# Grafana's variables, as promtool can read them.
VARIABLES = {"$__rate_interval": "5m", "$instance": ".*", "$model": ".*"}


def promtool(*arguments, given=None):
    """The exit status of promtool and what it prints."""
    result = subprocess.run([PROMTOOL, *arguments], input=given, capture_output=True, text=True, timeout=120)
    return result.returncode, result.stdout + result.stderr


def documented():
    """What METRICS.md says of every metric: its type, its labels and its help."""
    row = re.compile(r"^\| `(\w+)` \| (\w+) \| ([\w, ]*?) \| .*? \| .*? \| (.*) \|$", re.MULTILINE)
    rows = row.findall((ROOT / "METRICS.md").read_text())
    return {name: (kind, frozenset(labels.split(", ")) - {""}, text) for name, kind, labels, text in rows}


def series_of(metrics):
    """The labels of every name that series have."""
    found = {"up": TARGET}
    for name, (kind, labels, _) in metrics.items():
        if kind in ("histogram", "summary"):
            totals = (labels - {"le", "quantile"}) | TARGET
            found |= {f"{name}_sum": totals, f"{name}_count": totals}
        found[f"{name}_bucket" if kind == "histogram" else name] = labels | TARGET
    return found


METRICS = documented()
KNOWN = series_of(METRICS)


def rules(*kinds):
    """The rules of these kinds: alert, record."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] for kind in kinds if kind in rule]


def recorded():
    """KNOWN, and the labels of what the rules record."""
    known = dict(KNOWN)
    for rule in rules("record"):
        known[rule["record"]] = promql.read(rule["expr"], known).labels
    return known


def cases():
    """The cases in which the alerts are tried."""
    return yaml.safe_load(CASES.read_text())["tests"]


def dashboard():
    return json.loads((FOLDER / "grafana-dashboard.json").read_text())


def panels():
    """Every panel but the headings of rows."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def shown():
    """Every expression of the panels: the title of its panel, itself, and its legend."""
    return [(one["title"], expression(target), target["legendFormat"]) for one in panels() for target in one["targets"]]


def noted():
    """The same of the annotations, which are of single events."""
    notes = [one for one in dashboard()["annotations"]["list"] if "expr" in one]
    return [(one["name"], expression(one), one["textFormat"]) for one in notes]


def expression(holder):
    return substituted(holder["expr"])


def substituted(text):
    """An expression with values for Grafana's variables."""
    for name, value in VARIABLES.items():
        text = text.replace(name, value)
    assert "$" not in text, text
    return text
