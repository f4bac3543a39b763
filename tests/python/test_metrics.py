"""The metrics endpoint."""

import time
from concurrent.futures import ThreadPoolExecutor

import accounts
import grpc
import models
import numpy as np
import pytest
import tritonclient.grpc as triton
from accounts import Series, families, scrape
from tritonclient.grpc import service_pb2_grpc
from daemon import ROOT
from gpus import Counterfeit
from wire import fault, request, simple

VECTOR = [("INPUT0", "FP32", [16]), ("INPUT1", "FP32", [16])]
RESULTS = [("OUTPUT0", "FP32", [16]), ("OUTPUT1", "FP32", [16])]
ONE_INSTANCE = "instance_group [ { kind: KIND_CPU count: 1 } ]\n"
TAGS = 'metric_tags { key: "team" value: "a \\"b\\" \\\\ c" }\n'
EVERYTHING = ("--metrics-config=histogram_latencies=true", "--metrics-config=summary_latencies=true")
BOUNDS = "5e-05 0.0001 0.0002 0.0005 0.001 0.002 0.005 0.01 0.02 0.05 0.1 0.2 0.5 1.0 2.0 5.0 10.0 inf".split()

# Triton's metrics: type, labels besides those of the model and its version, the number of series of a version, and help.
OF_A_VERSION = {
    "nv_inference_request_success": ("counter", "", 1, "Number of successful inference requests, all batch sizes"),
    "nv_inference_request_failure": ("counter", "reason", 4, "Number of failed inference requests, all batch sizes"),
    "nv_inference_count": ("counter", "", 1, "Number of inferences performed (does not include cached requests)"),
    "nv_inference_exec_count": (
        "counter",
        "",
        1,
        "Number of model executions performed (does not include cached requests)",
    ),
    "nv_inference_request_duration_us": (
        "counter",
        "",
        1,
        "Cumulative inference request duration in microseconds (includes cached requests)",
    ),
    "nv_inference_queue_duration_us": (
        "counter",
        "",
        1,
        "Cumulative inference queuing duration in microseconds (includes cached requests)",
    ),
    "nv_inference_compute_input_duration_us": (
        "counter",
        "",
        1,
        "Cumulative compute input duration in microseconds (does not include cached requests)",
    ),
    "nv_inference_compute_infer_duration_us": (
        "counter",
        "",
        1,
        "Cumulative compute inference duration in microseconds (does not include cached requests)",
    ),
    "nv_inference_compute_output_duration_us": (
        "counter",
        "",
        1,
        "Cumulative inference compute output duration in microseconds (does not include cached requests)",
    ),
    "nv_inference_pending_request_count": (
        "gauge",
        "",
        1,
        "Instantaneous number of pending requests awaiting execution per-model.",
    ),
    "nv_model_load_duration_secs": ("gauge", "", 1, "Model load time in seconds"),
    "nv_inference_first_response_histogram_ms": (
        "histogram",
        "le",
        5,
        "Duration from request to first response in milliseconds",
    ),
    "nv_inference_request_summary_us": (
        "summary",
        "quantile",
        5,
        "Summary of inference request duration in microseconds (includes cached requests)",
    ),
    "nv_inference_queue_summary_us": (
        "summary",
        "quantile",
        5,
        "Summary of inference queuing duration in microseconds (includes cached requests)",
    ),
    "nv_inference_compute_input_summary_us": (
        "summary",
        "quantile",
        5,
        "Cumulative compute input duration in microseconds (does not include cached requests)",
    ),
    "nv_inference_compute_infer_summary_us": (
        "summary",
        "quantile",
        5,
        "Cumulative compute inference duration in microseconds (does not include cached requests)",
    ),
    "nv_inference_compute_output_summary_us": (
        "summary",
        "quantile",
        5,
        "Cumulative inference compute output duration in microseconds (does not include cached requests)",
    ),
}
OF_THE_SERVER = {
    "nv_pinned_memory_pool_total_bytes": ("gauge", "Pinned memory pool total memory size, in bytes"),
    "nv_pinned_memory_pool_used_bytes": ("gauge", "Pinned memory pool used memory size, in bytes"),
    "nv_cpu_utilization": ("gauge", "CPU utilization rate [0.0 - 1.0]"),
    "nv_cpu_memory_total_bytes": ("gauge", "CPU total memory (RAM), in bytes"),
    "nv_cpu_memory_used_bytes": ("gauge", "CPU used memory (RAM), in bytes"),
}


def add(repository, name, extra="", batch=8):
    """A model of two vectors."""
    repository.add(
        name,
        models.add_sub("FP32", ["b", 16]),
        models.config(name, VECTOR, RESULTS, batch=batch, extra=extra),
    )


def connect(daemon):
    """The bare stub."""
    return service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(daemon.url))


@pytest.fixture
def loaded(repository, serve):
    """A daemon with everything on, of whose model m three requests of 1, 2 and 4 rows were answered, and one refused."""
    add(repository, "m", TAGS + ONE_INSTANCE)
    daemon = serve(repository, *EVERYTHING)
    stub = connect(daemon)
    for rows in (1, 2, 4):
        stub.ModelInfer(simple("m", rows))
    assert fault(stub.ModelInfer, request("m", ("INPUT0", "INT8", [1, 16]), raw=[bytes(16)]))[0] == "INVALID_ARGUMENT"
    fault(stub.ModelInfer, simple("unknown"))
    return daemon


M = {"_team": 'a "b" \\ c', "model": "m", "version": "1"}


@pytest.mark.parametrize("openmetrics", [False, True])
def test_every_metric_of_triton_has_its_name_type_help_and_labels(loaded, openmetrics):
    found = families(loaded, openmetrics)
    for name, (kind, label, count, text) in OF_A_VERSION.items():
        family = found.pop(name)
        # OpenMetrics knows no counter without _total.
        assert family.type == ("unknown" if openmetrics and kind == "counter" else kind), name
        assert family.documentation == text
        own = [one for one in family.samples if not one.name.endswith(("_sum", "_count")) or one.name == name]
        assert len(own) == count, name
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop(label, None) is not None or not label or sample not in own, sample
            assert labels == M, sample
    for name, (kind, text) in OF_THE_SERVER.items():
        family = found.pop(name)
        assert (family.type, family.documentation) == (kind, text)
        assert [sample.labels for sample in family.samples] == [{}]
    assert not [name for name in found if name.startswith("nv_")], "and no others"


def test_the_values_are_those_of_a_known_load(loaded):
    accounts.check(loaded)
    series = Series(loaded)
    assert series("nv_inference_request_success", **M) == 3
    assert {reason: series("nv_inference_request_failure", reason=reason, **M) for reason in REASONS} == REASONS
    assert series("nv_inference_count", **M) == 7
    assert series("nv_inference_exec_count", **M) == 3
    assert series("nv_inference_pending_request_count", **M) == 0
    assert 0 < series("nv_model_load_duration_secs", **M) < 60
    assert series("nerite_inference_requests_total", **M) == 4
    for phase in ("request", *accounts.PHASES):
        spent = series(f"nv_inference_{phase}_duration_us", **M)
        assert series(f"nv_inference_{phase}_summary_us_sum", **M) == spent
        assert series(f"nv_inference_{phase}_summary_us_count", **M) == 3
        quantiles = [
            series(f"nv_inference_{phase}_summary_us", quantile=quantile, **M)
            for quantile in ("0.5", "0.9", "0.95", "0.99", "0.999")
        ]
        assert quantiles == sorted(quantiles) and quantiles[-1] <= spent * 1.006 + 1, phase
        name = f"nerite_inference_{phase}_duration_seconds"
        buckets = [series(f"{name}_bucket", le=bound, **M) for bound in bounds(series, name)]
        assert buckets == sorted(buckets) and buckets[-1] == series(f"{name}_count", **M) == 3
    assert series("nv_inference_first_response_histogram_ms_count", **M) == 3
    milliseconds = series("nv_inference_first_response_histogram_ms_sum", **M)
    assert milliseconds * 1000 == pytest.approx(series("nv_inference_request_duration_us", **M), abs=1)
    sizes = [series("nerite_inference_batch_size_bucket", le=bound, **M) for bound in ("1", "2", "4", "8", "+Inf")]
    assert sizes == [1, 2, 3, 3, 3]
    assert series("nerite_inference_batches_total", reason="single", **M) == 3
    assert series.total("nerite_inference_batches_total", model="m") == 3
    assert (series("nerite_instances", **M), series("nerite_instances_busy", **M)) == (1, 0)
    assert series("nerite_inference_queue_oldest_age_seconds", **M) == 0
    assert series("nerite_model_state", model="m", state="READY", version="1") == 1
    assert series("nerite_model_loads_total") == 1


REASONS = {"REJECTED": 0, "CANCELED": 0, "BACKEND": 0, "OTHER": 1}


def bounds(series, name):
    """The bounds of a histogram's buckets, which are the same for every phase."""
    found = {dict(labels)["le"] for other, labels in series.values if other == f"{name}_bucket"}
    found = sorted(found, key=float)
    assert [str(float(bound)) for bound in found] == BOUNDS
    return found


def test_both_formats_have_the_same_series_and_their_own_media_type(loaded):
    kind, text = scrape(loaded, accounts.OPENMETRICS)
    assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert text.endswith("\n# EOF\n")
    kind, text = scrape(loaded, "text/plain")
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    assert Series(loaded).values.keys() == Series(loaded, openmetrics=True).values.keys()


def test_labels_are_sorted_and_le_and_quantile_come_last(loaded):
    for line in scrape(loaded)[1].splitlines():
        if 'model="m"' in line:
            labels = [part.split("=")[0] for part in line.split("{", 1)[1].split('",')]
            last = [labels.pop()] if labels[-1] in ("le", "quantile") else []
            assert labels == sorted(labels), line
            assert last or "_bucket" not in line


def test_by_default_there_are_counters_and_neither_summaries_nor_tritons_histogram(repository, serve):
    add(repository, "m")
    found = families(serve(repository)).values()
    assert not [family.name for family in found if family.type == "summary" or "first_response" in family.name]
    assert len([family for family in found if family.name.endswith("_duration_us")]) == 5
    assert len([family for family in found if family.name.endswith("_duration_seconds")]) == 5


def test_latency_counters_and_cpu_metrics_can_be_switched_off(repository, serve):
    add(repository, "m")
    daemon = serve(repository, "--metrics-config=counter_latencies=false", "--allow-cpu-metrics=false")
    connect(daemon).ModelInfer(simple("m"))
    found = families(daemon)
    assert not [name for name in found if name.endswith("_duration_us") or name.startswith("nv_cpu_")]
    assert Series(daemon)("nv_inference_request_success", model="m", version="1") == 1


def test_quantiles_are_those_that_were_asked_for(repository, serve):
    add(repository, "m")
    daemon = serve(
        repository,
        "--metrics-config=summary_latencies=true",
        "--metrics-config=summary_quantiles=0.75:0.01,0.25:0.01",
    )
    # Nothing was answered yet: there is no quantile of nothing.
    family = families(daemon)["nv_inference_request_summary_us"]
    quantiles = {sample.labels["quantile"]: sample.value for sample in family.samples if "quantile" in sample.labels}
    assert set(quantiles) == {"0.25", "0.75"} and all(np.isnan(list(quantiles.values())))


def test_metrics_md_lists_what_a_scrape_writes_with_its_type_and_labels(repository, serve, tmp_path):
    add(repository, "m")
    add(repository, "gone")
    explicit = ("--model-control-mode=explicit", "--load-model=*")
    flags = [*EVERYTHING, *explicit, f"--access-log={tmp_path / 'access'}"]
    daemon = serve(repository, *flags, environment=Counterfeit(tmp_path / "counterfeits").environment)
    connect(daemon).ModelInfer(simple("m"))
    triton.InferenceServerClient(daemon.url).unload_model("gone")
    for late in ("nerite_engine_heap_used_bytes", "nv_gpu_utilization"):
        daemon.wait_until(lambda: late in daemon.metrics(), 30, f"have {late}")
    lines = (ROOT / "METRICS.md").read_text().splitlines()
    rows = [[cell.strip(" `") for cell in line.split("|")[1:4]] for line in lines if line.startswith("| `")]
    listed = {name: (kind, set(filter(None, labels.split(", ")))) for name, kind, labels in rows}
    assert len(listed) == len(rows), "no metric is listed twice"
    written = {}
    for name, family in families(daemon).items():
        labels = {label for sample in family.samples for label in sample.labels}
        name = f"{name}_total" if f"{name}_total" in listed else name
        written[name] = (family.type, labels)
    assert written == listed


def test_the_series_of_an_unloaded_model_are_gone_and_the_counters_of_the_process_stay(repository, serve):
    add(repository, "m")
    repository.add("broken", b"not a model")
    daemon = serve(repository, "--model-control-mode=explicit", "--load-model=m")
    with triton.InferenceServerClient(daemon.url) as client:
        connect(daemon).ModelInfer(simple("m"))
        before = Series(daemon)
        assert before("nv_inference_request_success", model="m", version="1") == 1
        with pytest.raises(Exception, match="broken"):
            client.load_model("broken")
        client.unload_model("m")
        daemon.wait_until(lambda: Series(daemon)("nerite_model_unloads_total") == 1, 10, "unload the model")
        after = Series(daemon)
        assert not [labels for _, labels in after.values if ("model", "m") in labels]
        assert after("nerite_model_loads_total") == 1
        assert after.total("nerite_model_load_failures_total") == 1
        assert after.total("nerite_model_state", model="broken", state="UNAVAILABLE") == 1
        client.load_model("m")
        again = Series(daemon)
        assert again("nv_inference_request_success", model="m", version="1") == 0
        assert again("nerite_model_loads_total") == 2
        accounts.check(daemon)


def test_a_full_batch_and_a_lone_request_are_told_apart(repository, serve):
    add(repository, "m", "dynamic_batching { }", batch=4)
    daemon = serve(repository, environment={"TRITONSERVER_DELAY_SCHEDULER": "4"})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: connect(daemon).ModelInfer(simple("m")), range(4)))
    connect(daemon).ModelInfer(simple("m"))
    series = Series(daemon)
    of = {reason: series("nerite_inference_batches_total", reason=reason, model="m", version="1") for reason in SENT}
    assert of == SENT
    assert series("nerite_inference_batch_size_sum", model="m", version="1") == 5
    accounts.check(daemon)


SENT = {"single": 0, "full": 1, "preferred": 0, "shape": 0, "delay": 0, "idle": 1}


def test_a_busy_instance_and_the_age_of_what_waits_are_seen(repository, serve):
    config = models.config("m", [("STEPS", "INT64", [-1, 1])], [("OUTPUT0", "INT64", [-1, 1])])
    repository.add("m", models.spin(), config + ONE_INSTANCE)
    daemon = serve(repository)
    stub = connect(daemon)
    steps = np.array([[300_000]], np.int64).tobytes()
    calls = [stub.ModelInfer.future(request("m", ("STEPS", "INT64", [1, 1]), raw=[steps])) for _ in range(2)]
    m = {"model": "m", "version": "1"}
    daemon.wait_until(lambda: Series(daemon)("nv_inference_pending_request_count", **m) == 1, 10, "let one wait")
    first = Series(daemon)("nerite_inference_queue_oldest_age_seconds", **m)
    time.sleep(0.05)
    series = Series(daemon)
    assert series("nerite_inference_queue_oldest_age_seconds", **m) >= first + 0.05
    assert series("nerite_instances_busy", **m) == 1
    for call in calls:
        call.cancel()
    accounts.check(daemon, seconds=60)
    assert Series(daemon)("nv_inference_request_failure", reason="CANCELED", **m) == 2


def test_no_name_can_break_the_format(repository, serve):
    name = 'a "b" {c="d"} \\n #'
    add(repository, "m")
    (repository.folder / "m").rename(repository.folder / name)
    (repository.folder / name / "config.pbtxt").unlink()
    daemon = serve(repository)
    for openmetrics in (False, True):
        series = Series(daemon, openmetrics)
        assert [model for model, _, _ in series.versions()] == [name]
        assert series("nerite_model_state", model=name, state="READY", version="1") == 1


def test_a_traced_request_is_the_exemplar_of_its_bucket(repository, serve):
    add(repository, "m")
    trace = "0af7651916cd43dd8448eb211c80319c"
    # Nobody listens there.
    settings = ("mode=opentelemetry", "level=TIMESTAMPS", "rate=1", "opentelemetry,url=http://127.0.0.1:9")
    daemon = serve(repository, *(f"--trace-config={setting}" for setting in settings))
    parent = ("traceparent", f"00-{trace}-b7ad6b7169203331-01")
    connect(daemon).ModelInfer(simple("m"), metadata=[parent])
    family = families(daemon, openmetrics=True)["nerite_inference_request_duration_seconds"]
    (bucket,) = [sample for sample in family.samples if sample.exemplar]
    assert bucket.exemplar.labels == {"trace_id": trace}
    assert 0 < bucket.exemplar.value <= float(bucket.labels["le"])
    assert bucket.exemplar.value == Series(daemon).total("nerite_inference_request_duration_seconds_sum")
    assert trace not in scrape(daemon)[1]


def test_the_process_tells_what_it_uses(zoo):
    series = Series(zoo)
    assert 0 < series("process_cpu_seconds_total") < 3600
    assert abs(time.time() - series("process_start_time_seconds")) < 3600
    assert 10 << 20 < series("process_resident_memory_bytes") < series("process_virtual_memory_bytes")
    assert 3 < series("process_open_fds") < series("process_max_fds")
    assert series("process_threads") > 1
    assert 1 << 20 < series("nerite_heap_committed_bytes") < series("process_virtual_memory_bytes")
    assert 0 < series("nv_cpu_memory_used_bytes") < series("nv_cpu_memory_total_bytes")
    assert 0 <= series("nv_cpu_utilization") <= 1
    assert series.total("nerite_build_info") == 1
