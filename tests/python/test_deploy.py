"""The files in deploy/observability, held against METRICS.md, promtool and the scrapes of a real daemon."""

import itertools
import json
import re

import models
import promql
import pytest
import yaml
from accounts import Series, scrape
from daemon import Daemon
from deployment import (
    ALERTS,
    CASES,
    FOLDER,
    KNOWN,
    METRICS,
    PROMTOOL,
    cases,
    dashboard,
    noted,
    panels,
    promtool,
    recorded,
    rules,
    shown,
    substituted,
)
from gpus import Counterfeit
from models import Repository
from server import LIMIT, Server
from wire import fault, request, simple

needs_promtool = pytest.mark.skipif(not PROMTOOL.exists(), reason="there is no promtool; scripts/fetch-promtool gets it")

# How wide a dashboard is.
GRID = 24


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("nerite_nothing", "no metric nerite_nothing"),
        ("nerite_inference_batch_size", "no metric nerite_inference_batch_size"),
        ('nerite_instances{reason="x"}', "no label reason, only instance, job, model, version"),
        ("sum by (reason) (nerite_instances)", "sum: there is no label reason"),
        ("max by (le) (nerite_inference_batch_size_sum)", "max: there is no label le"),
        ("histogram_quantile(0.9, sum by (model) (rate(nerite_inference_batch_size_bucket[5m])))", "no label le"),
        ("process_resident_memory_bytes / on (model) nerite_instances", "/: there is no label model"),
        ("nerite_instances_busy / process_threads", "no series of the two sides of / have the same labels"),
        ("nerite_instances unless sum by (model) (nerite_instances)", "no series of the two sides of unless"),
        ("max_of(nerite_instances)", "nothing is known of max_of()"),
        ("rate(5)", "rate is of a number"),
        ("nerite_instances +", "there is 'the end' instead of a word"),
        ("nerite_instances }", "there is '}' instead of a end"),
        ("nerite_instances ~ 1", "cannot read '~ 1'"),
    ],
)
def test_what_is_wrong_with_an_expression_is_seen(expression, words):
    with pytest.raises(promql.Mistake, match=re.escape(words)):
        promql.read(expression, KNOWN)


@pytest.mark.parametrize(
    ("expression", "labels"),
    [
        ("1 + time()", None),
        ("sum(nerite_instances) or vector(0)", ""),
        ("up == 0 and on (job) nerite_model_state", "instance job"),
        ("topk(3, sum without (version) (nerite_instances))", "instance job model"),
        ("nerite_instances / on (instance) group_left (version) nerite_build_info", "instance job model version"),
        ("clamp_min(nerite_build_info, 0)", "instance job version"),
        ("nerite_model_state * ignoring (state) nerite_instances", "instance job model version"),
        ('absent(up{job="nerite", instance!="a"})', "job"),
        ("-(nerite_instances[1h:5m] offset 1d) # the end", "instance job model version"),
    ],
)
def test_the_labels_of_a_result_are_known(expression, labels):
    found = promql.read(expression, KNOWN).labels
    assert found == (labels if labels is None else frozenset(labels.split()))


def test_the_dashboard_uses_no_metric_and_no_label_that_is_not_documented():
    assert len(METRICS) > 50 and len(shown()) > 40
    for title, expression, legend in shown() + noted():
        try:
            labels = promql.read(expression, KNOWN).labels
        except promql.Mistake as mistake:
            pytest.fail(f"{title}: {expression}: {mistake}")
        assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= labels, f"{title}: {legend} of {set(labels)}"


def test_the_variables_of_the_dashboard_are_labels_that_are_documented():
    queries = {one["name"]: one["query"] for one in dashboard()["templating"]["list"] if one["type"] == "query"}
    assert set(queries) == {"instance", "model"}
    for query in queries.values():
        selector, label = re.fullmatch(r"label_values\((.+), (\w+)\)", query["query"]).groups()
        assert label in promql.read(substituted(selector), KNOWN).labels


def test_the_alerts_use_no_metric_and_no_label_that_is_not_documented():
    known = recorded()
    for rule in rules("alert", "record"):
        reading = promql.read(rule["expr"], known)
        used = re.findall(r"\$labels\.(\w+)", " ".join(rule.get("annotations", {}).values()))
        assert set(used) <= reading.labels, rule


def test_the_alerts_are_about_the_job_alone():
    # Others have metrics of the same names: every process has some, and Triton.
    known = recorded()
    for rule in rules("alert", "record"):
        selectors = re.findall(r"\b(\w+)\{(.*?)\}", rule["expr"])
        assert {name for name, _ in selectors} | known.keys() - KNOWN.keys() >= promql.read(rule["expr"], known).metrics
        assert all('job="nerite"' in matchers for name, matchers in selectors if name in KNOWN), rule


def test_every_alert_says_how_bad_it_is_what_has_happened_and_what_to_do():
    names = [rule["alert"] for rule in rules("alert")]
    assert len(names) == len(set(names)) > 20
    for rule in rules("alert"):
        assert rule["labels"].keys() == {"severity"} and rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"].keys() == {"summary", "description"}, rule["alert"]
        assert len(rule["annotations"]["description"]) > 80, rule["alert"]
        # What looks back over a quarter of an hour has waited already.
        assert "for" in rule or "[15m]" in rule["expr"], rule["alert"]


def test_callers_that_give_up_wake_nobody():
    severities = {rule["labels"]["severity"] for rule in rules("alert") if 'reason="CANCELED"' in rule["expr"]}
    assert severities == {"info"}
    # No other alert is about every reason at once.
    known = recorded()
    (name,) = known.keys() - KNOWN.keys()
    for rule in rules("alert"):
        reading = promql.read(rule["expr"], known)
        reasons = [one for one in reading.matchers if one.metric == name]
        assert name not in reading.metrics or [(one.label, one.sign) for one in reasons] == [("reason", "=")], rule
        assert "nv_inference_request_failure" not in reading.metrics, rule


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not():
    outcomes = {rule["alert"]: set() for rule in rules("alert")}
    for check in itertools.chain.from_iterable(case["alert_rule_test"] for case in cases()):
        outcomes[check["alertname"]].add(bool(check["exp_alerts"]))
    assert {name for name, found in outcomes.items() if found != {True, False}} == set()


def test_the_cases_are_of_series_that_are_documented():
    for series in itertools.chain.from_iterable(case["input_series"] for case in cases()):
        reading = promql.read(series["series"], KNOWN)
        assert {one.label for one in reading.matchers} == reading.labels, series["series"]


@needs_promtool
def test_prometheus_takes_the_rules():
    status, text = promtool("check", "rules", "--lint=all", "--lint-fatal", ALERTS)
    assert status == 0 and f"SUCCESS: {len(rules('alert', 'record'))} rules found" in text, text


@needs_promtool
def test_prometheus_takes_the_configuration_and_finds_the_rules():
    status, text = promtool("check", "config", FOLDER / "prometheus.yml")
    assert status == 0 and "1 rule files found" in text, text
    configuration = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    jobs = [(job["job_name"], job["static_configs"][0]["targets"]) for job in configuration["scrape_configs"]]
    assert jobs == [("nerite", ["localhost:8002"])]


@needs_promtool
def test_every_alert_fires_when_it_should_and_only_then():
    status, text = promtool("test", "rules", CASES)
    assert status == 0, text


@needs_promtool
def test_prometheus_takes_every_expression_of_the_dashboard(tmp_path):
    numbered = [{"record": f"panel:{place}", "expr": one[1]} for place, one in enumerate(shown() + noted())]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": numbered}]}))
    status, text = promtool("check", "rules", "--lint=none", file)
    assert status == 0 and f"SUCCESS: {len(numbered)} rules found" in text, text


def test_the_dashboard_can_be_imported_and_asks_which_prometheus_to_use():
    board = dashboard()
    assert board["schemaVersion"] >= 39 and board["id"] is None and board["uid"] and board["title"] == "Nerite"
    (asked,) = board["__inputs"]
    assert (asked["type"], asked["pluginId"]) == ("datasource", "prometheus")
    variables = {one["name"]: one for one in board["templating"]["list"]}
    assert variables.keys() == {"datasource", "instance", "model"}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    assert variables["datasource"]["current"]["value"] == f"${{{asked['name']}}}"
    assert all(variables[name]["multi"] and variables[name]["includeAll"] for name in ("instance", "model"))
    askers = [*panels(), *itertools.chain.from_iterable(panel["targets"] for panel in panels())]
    assert all(one["datasource"] == {"type": "prometheus", "uid": "${datasource}"} for one in askers)
    types = {one["id"] for one in board["__requires"] if one["type"] == "panel"}
    assert types == {panel["type"] for panel in panels()}


def test_panels_do_not_overlap_and_each_says_what_it_shows():
    everything = dashboard()["panels"]
    for unique in ("id", "title"):
        assert len({panel[unique] for panel in everything}) == len(everything)
    taken = set()
    for panel in everything:
        x, y, width, height = (panel["gridPos"][side] for side in "xywh")
        cells = set(itertools.product(range(x, x + width), range(y, y + height)))
        assert x + width <= GRID and not cells & taken, panel["title"]
        taken |= cells
    for panel in panels():
        assert len(panel["description"]) > 20 and panel["targets"], panel["title"]
        assert panel["type"] in ("table", "heatmap") or panel["fieldConfig"]["defaults"]["unit"], panel["title"]


def test_latencies_and_nothing_else_are_shown_with_the_traces_of_requests():
    # A single number cannot show them.
    targets = itertools.chain.from_iterable(panel["targets"] for panel in panels() if panel["type"] != "stat")
    for target in targets:
        has_traces = "nerite_inference_request_duration_seconds_bucket" in target["expr"]
        assert target.get("exemplar", False) == has_traces, target


# So long that nothing waits for its end.
ENDLESS = 1_000_000_000
SPIN = "instance_group [ { count: 1 kind: KIND_CPU } ]\ndynamic_batching { default_queue_policy { max_queue_size: 1 } }\n"
# What Prometheus says of a target that it has scraped.
UP = {("up", frozenset()): 1}
SERVER = {"instance": "server:8002", "job": "nerite"}


@pytest.fixture(scope="module")
def scrapes(tmp_path_factory):
    """A daemon's text, and its series before and after everything has happened that panels and alerts are about."""
    folder = tmp_path_factory.mktemp("observed")
    repository = Repository(folder / "repository")
    fill(repository)
    flags = [
        f"--model-repository={repository.folder}",
        "--model-control-mode=explicit",
        *(f"--load-model={name}" for name in ("good", "gather", "spin", "gone")),
        f"--access-log={folder / 'access.log'}",
        *(f"--trace-config={setting}" for setting in ("level=TIMESTAMPS", "rate=1", f"triton,file={folder / 'trace'}")),
    ]
    gpus = Counterfeit(folder / "counterfeits").environment
    with Daemon(flags, folder / "nerite.log", environment=gpus) as daemon:
        server = Server(daemon.wait_ready())
        server.until(lambda: "nv_gpu_utilization" in daemon.metrics(), "tell of its GPUs")
        before = Series(daemon).values
        calls = disturb(server)
        text, after = scrape(daemon)[1], Series(daemon).values
        for call in calls:
            call.cancel()
        server.close()
    return text, before, after


def fill(repository):
    """Models of which one cannot be loaded, and one has room for a single request that waits."""
    vector = [("INPUT0", "FP32", [16]), ("INPUT1", "FP32", [16])]
    results = [("OUTPUT0", "FP32", [16]), ("OUTPUT1", "FP32", [16])]
    config = models.config("good", vector, results, 8, "dynamic_batching { }")
    repository.add("good", models.add_sub("FP32", ["b", 16]), config)
    repository.add("gone", models.identity("FP32", ["b", 4]))
    repository.add("gather", models.gather())
    config = models.config("spin", [("STEPS", "INT64", [1])], [("OUTPUT0", "INT64", [1])], 1, SPIN)
    repository.add("spin", models.spin(), config)
    repository.add("broken", b"not a model")


def disturb(server):
    """Requests that succeed and that fail in every way, loads and unloads; returns calls that are executed or wait."""
    metric = server.daemon.metric

    def infer(message, limit=LIMIT):
        return server.stub.ModelInfer.future(message, timeout=limit)

    def until_spin(name, value):
        server.until(lambda: metric(name, model="spin") == value, f"have {name} at {value}")

    for rows in (1, 2, 8):
        infer(simple("good", rows)).result()
    out_of_range = request("gather", ("INDEX", "INT64", [1, 1]), raw=[(1_000).to_bytes(8, "little")])
    wrong = request("gather", ("INDEX", "INT8", [1, 1]), raw=[b"\0"])
    for message in (out_of_range, wrong, wrong):
        fault(infer(message).result)
    with pytest.raises(Exception, match="broken"):
        server.client.load_model("broken")
    server.client.unload_model("gone")
    server.until(lambda: metric("nerite_model_unloads_total") == 1, "unload the model")
    endless = request("spin", ("STEPS", "INT64", [1, 1]), raw=[ENDLESS.to_bytes(8, "little")])
    calls = [infer(endless)]
    until_spin("nerite_instances_busy", 1)
    assert fault(infer(endless, 0.1).result)[0] == "DEADLINE_EXCEEDED"
    until_spin("nv_inference_pending_request_count", 0)
    calls.append(infer(endless))
    until_spin("nv_inference_pending_request_count", 1)
    assert fault(infer(endless).result)[0] == "UNAVAILABLE"
    return calls


def evaluate(scrapes, checks, folder):
    """Has promtool check expressions of a Prometheus that has scraped the first at once, and the second ever after."""
    _, before, after = scrapes
    before, after = before | UP, after | UP
    series = []
    for name, labels in before.keys() | after.keys():
        text = ", ".join(f"{label}={json.dumps(value)}" for label, value in (SERVER | dict(labels)).items())
        first, then = (f"{one[name, labels]:.9f}" if (name, labels) in one else "_" for one in (before, after))
        series.append({"series": f"{name}{{{text}}}", "values": f"{first} {then}x20"})
    test = {"interval": "1m", "input_series": series, "promql_expr_test": checks}
    file = folder / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": [test]}))
    return promtool("test", "rules", file)


@needs_promtool
def test_every_panel_shows_something_of_a_daemon(scrapes, tmp_path):
    # What is not a number is not like itself.
    counts = [f"count(({expression}) == ({expression})) > bool 0" for _, expression, _ in shown()]
    one = [{"labels": "{}", "value": 1}]
    status, text = evaluate(scrapes, [{"expr": it, "eval_time": "1m", "exp_samples": one} for it in counts], tmp_path)
    assert status == 0, text


@needs_promtool
def test_alerts_see_what_has_happened_to_a_daemon_and_nothing_else(scrapes, tmp_path):
    happened = (
        "CallersGiveUp InstancesBusy ModelFails ModelLoadsFail ModelNotServed Overloaded RequestsRejected RequestsWrong"
    )
    ever = "count by (alertname) (max_over_time(ALERTS[20m])) > bool 0"
    samples = [{"labels": f'{{alertname="Nerite{name}"}}', "value": 1} for name in happened.split()]
    status, text = evaluate(scrapes, [{"expr": ever, "eval_time": "20m", "exp_samples": samples}], tmp_path)
    assert status == 0, text


def test_every_metric_that_is_shown_or_watched_is_scraped_from_a_daemon(scrapes):
    known = recorded()
    expressions = [one for _, one, _ in shown() + noted()] + [rule["expr"] for rule in rules("alert", "record")]
    used = set().union(*(promql.read(expression, known).metrics for expression in expressions))
    found = {name for name, _ in scrapes[2] | UP}
    assert used & KNOWN.keys() - found == set()


def test_every_reason_and_state_that_is_asked_for_is_one_that_there_is(scrapes):
    known = recorded()
    of_what = {rule["record"]: "nv_inference_request_failure" for rule in rules("record")}
    expressions = [one for _, one, _ in shown()] + [rule["expr"] for rule in rules("alert")]
    matchers = itertools.chain.from_iterable(promql.read(expression, known).matchers for expression in expressions)
    asked = {one for one in matchers if one.label in ("reason", "state")}
    assert len(asked) >= 8
    for one in asked:
        metric = of_what.get(one.metric, one.metric)
        values = {dict(labels)[one.label] for name, labels in scrapes[2] if name == metric}
        # The daemon has no version in some of the states.
        values |= set(re.findall(r"\b[A-Z]{5,}\b", METRICS[metric][2]))
        assert any(map(one._replace(sign=one.sign.replace("!", "=")).takes, values)), (one, values)


# What promtool has against names that are what they are in Triton.
TRITONS = {
    'counter metrics should have "_total" suffix',
    'non-histogram and non-summary metrics should not have "_count" suffix',
    "metric names should not contain abbreviated units",
}


@needs_promtool
def test_promtool_finds_fault_with_nothing_but_tritons_names(scrapes):
    _, text = promtool("check", "metrics", given=scrapes[0])
    faults = [line.split(" ", 1) for line in text.splitlines()]
    assert all(name.startswith("nv_") for name, _ in faults), text
    assert {fault for _, fault in faults} <= TRITONS, text
