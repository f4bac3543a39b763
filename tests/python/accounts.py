"""The metrics of a daemon, read by Prometheus' own parsers, and what must always hold of its accounts."""

import time
import urllib.request

import grpc
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from tritonclient.grpc import service_pb2, service_pb2_grpc

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
PHASES = ("queue", "compute_input", "compute_infer", "compute_output")


def scrape(daemon, accept="*/*"):
    """The content type and the text."""
    asked = urllib.request.Request(f"http://127.0.0.1:{daemon.metrics_port}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def families(daemon, openmetrics=False):
    """What the parser of the format makes of a scrape, by family."""
    _, text = scrape(daemon, OPENMETRICS if openmetrics else "*/*")
    parsed = list((parse_openmetrics if openmetrics else parse_text)(text))
    for family in parsed:
        # The parser gives every counter of the text format the name that it would have in OpenMetrics.
        if family.type == "counter" and f"# TYPE {family.name} counter\n" in text and not openmetrics:
            family.samples = [one._replace(name=one.name.removesuffix("_total")) for one in family.samples]
    assert len({family.name for family in parsed}) == len(parsed), "no family comes twice"
    return {family.name: family for family in parsed}


class Series:
    """The series of one scrape."""

    def __init__(self, daemon, openmetrics=False):
        samples = [sample for family in families(daemon, openmetrics).values() for sample in family.samples]
        self.values = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
        assert len(self.values) == len(samples), "no series comes twice"

    def __call__(self, name, **labels):
        """The value of the one series of that name with just these labels."""
        return self.values[name, frozenset(labels.items())]

    def total(self, name, **labels):
        """The sum of the series of that name that have these labels, among others."""
        wanted = labels.items()
        return sum(value for (other, found), value in self.values.items() if other == name and wanted <= found)

    def versions(self):
        """Every model version that has metrics: its name and version, and all labels of it."""
        found = [dict(labels) for name, labels in self.values if name == "nerite_inference_requests_total"]
        return [(labels["model"], labels["version"], labels) for labels in found]


def imbalances(series):
    """Model versions of which requests are counted otherwise than once."""
    found = []
    for model, version, labels in series.versions():
        succeeded = series("nv_inference_request_success", **labels)
        failed = series.total("nv_inference_request_failure", model=model, version=version)
        pending = series("nv_inference_pending_request_count", **labels)
        requests = series("nerite_inference_requests_total", **labels)
        timed = series("nerite_inference_request_duration_seconds_count", **labels)
        if succeeded + failed + pending != requests or timed != succeeded:
            found.append(f"{model} {version}: {succeeded} + {failed} + {pending} of {requests}, {timed} timed")
    return found


def check_if_idle(daemon):
    """The same of the metrics alone, of a daemon that may be at anything, or at its end: if it has something to do, nothing
    is said."""
    try:
        deadline = time.monotonic() + 5
        while found := imbalances(series := Series(daemon)):
            if series.total("nerite_instances_busy") + series.total("nv_inference_pending_request_count") > 0:
                return
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
    except OSError:
        return


def check(daemon, seconds=10):
    """Once nothing is executed any more: every request that named a model succeeded, failed or waits, and is counted once;
    and ModelStatistics says of every version what the metrics say."""
    deadline = time.monotonic() + seconds
    while found := imbalances(series := Series(daemon)):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    with grpc.insecure_channel(daemon.url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        statistics = stub.ModelStatistics(service_pb2.ModelStatisticsRequest()).model_stats
    versions = {(model, version): labels for model, version, labels in series.versions()}
    assert versions.keys() == {(one.name, one.version) for one in statistics}
    for one in statistics:
        check_version(series, versions[one.name, one.version], one)


def check_version(series, labels, statistics):
    """What ModelStatistics says of a version is what the metrics say."""

    def agree(name, value):
        assert series(name, **labels) == value, (name, labels)

    stats = statistics.inference_stats
    agree("nv_inference_count", statistics.inference_count)
    agree("nv_inference_exec_count", statistics.execution_count)
    agree("nv_inference_request_success", stats.success.count)
    agree("nv_inference_request_duration_us", stats.success.ns // 1000)
    agree("nerite_inference_request_duration_seconds_sum", stats.success.ns / 1e9)
    failed = series.total("nv_inference_request_failure", model=labels["model"], version=labels["version"])
    assert failed == stats.fail.count, labels
    for phase in PHASES:
        duration = getattr(stats, phase)
        agree(f"nv_inference_{phase}_duration_us", duration.ns // 1000)
        agree(f"nerite_inference_{phase}_duration_seconds_sum", duration.ns / 1e9)
        agree(f"nerite_inference_{phase}_duration_seconds_count", duration.count)
    sizes = {batch.batch_size: batch.compute_infer.count for batch in statistics.batch_stats}
    agree("nerite_inference_batch_size_count", sum(sizes.values()))
    agree("nerite_inference_batch_size_sum", sum(size * count for size, count in sizes.items()))
