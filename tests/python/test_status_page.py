"""The status page, in a real browser."""

import json
import re
import urllib.request

import browsers
import models
import pytest
import tritonclient.grpc as triton
from gpus import Counterfeit
from playwright.sync_api import expect
from server import Server
from wire import fault, request, simple

VECTOR = [("INPUT0", "FP32", [16]), ("INPUT1", "FP32", [16])]
RESULTS = [("OUTPUT0", "FP32", [16]), ("OUTPUT1", "FP32", [16])]
PHONE = {"width": 360, "height": 740}
# In milliseconds.
LIMIT = 30_000


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium without a window."""
    if browsers.installed() is None:
        pytest.skip("no browser was found; on Debian or Ubuntu: apt-get install chromium-headless-shell")
    with browsers.launched() as launched:
        yield launched


@pytest.fixture
def show(browser):
    """Opens the page of a daemon: show(daemon, viewport=None)."""
    contexts = []

    def open_page(daemon, viewport=None):
        context = browser.new_context(viewport=viewport or {"width": 1280, "height": 900}, locale="en-GB")
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(LIMIT)
        page.faults = []
        page.asked = []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("request", lambda asked: page.asked.append(asked.url))
        page.goto(url(daemon))
        return page

    expect.set_options(timeout=LIMIT)
    yield open_page
    for context in contexts:
        context.close()


def url(daemon, path="/"):
    return f"http://127.0.0.1:{daemon.metrics_port}{path}"


def numbers(daemon):
    """What the page is made of."""
    with urllib.request.urlopen(url(daemon, "/status"), timeout=10) as answer:
        return json.load(answer)


def row(page, model, version="1"):
    """The rows of a model version."""
    return page.locator("tbody").and_(page.locator(f'[data-model="{model}"][data-version="{version}"]'))


def cell(page, model, field):
    return row(page, model).locator(f'[data-field="{field}"]')


def add(repository, name, extra="", version=1):
    repository.add(
        name,
        models.add_sub("FP32", ["b", 16]),
        models.config(name, VECTOR, RESULTS, batch=8, extra=extra),
        version=version,
    )


def test_every_version_is_shown_with_its_state_and_what_is_wrong_with_it_comes_first(repository, serve, show):
    add(repository, "alpha", "version_policy { all { } }")
    add(repository, "alpha", "version_policy { all { } }", version=2)
    repository.add("zeta", b"not a model")
    page = show(serve(repository, "--exit-on-error=false", "--strict-readiness=false"))
    expect(page.locator("tbody")).to_have_count(3)
    expect(page.locator("tbody .state")).to_have_text(["UNAVAILABLE", "READY", "READY"])
    expect(page.locator("tbody .name")).to_have_text(["zeta 1", "alpha 1", "alpha 2"])
    expect(row(page, "zeta").locator(".reason")).to_contain_text("is not an ONNX model: put the model's file there")
    expect(row(page, "alpha").locator(".reason")).to_be_hidden()
    expect(page.locator("#tiles")).to_contain_text("2 of 3")
    assert page.faults == []


def test_the_page_follows_what_happens_without_being_loaded_again(repository, serve, show):
    add(repository, "m")
    daemon = serve(repository, "--model-control-mode=explicit", "--load-model=m", "--id=server 7")
    page = show(daemon)
    expect(page.locator("h1")).to_have_text("server 7")
    expect(page.locator("header .state")).to_have_text("READY")
    expect(cell(page, "m", "batch")).to_have_text("–")
    server = Server(daemon)
    for _ in range(20):
        server.stub.ModelInfer(simple("m", 4))
    fault(server.stub.ModelInfer, request("m", ("INPUT0", "INT8", [1, 16]), raw=[bytes(16)]))
    expect(cell(page, "m", "batch")).to_have_text("4.0")
    expect(cell(page, "m", "rate")).to_have_text(re.compile("[1-9]"))
    expect(cell(page, "m", "failures")).to_have_text(re.compile("[1-9]"))
    for quantile in ("p50", "p99"):
        expect(cell(page, "m", quantile)).to_have_text(re.compile("[0-9] (µs|ms|s)"))
    expect(cell(page, "m", "rate")).to_have_text("0")
    server.client.unload_model("m")
    expect(row(page, "m").locator(".state")).to_have_text("UNAVAILABLE")
    expect(row(page, "m").locator(".reason")).to_have_text("unloaded")
    add(repository, "late")
    server.client.load_model("late")
    expect(row(page, "late").locator(".state")).to_have_text("READY")
    server.close()
    assert page.faults == []


def test_a_version_says_more_when_it_is_clicked(repository, serve, show):
    add(repository, "m")
    daemon = serve(repository)
    server = Server(daemon)
    for rows in (2, 2, 8):
        server.stub.ModelInfer(simple("m", rows))
    fault(server.stub.ModelInfer, request("m", ("INPUT0", "INT8", [1, 16]), raw=[bytes(16)]))
    server.close()
    page = show(daemon)
    more = row(page, "m").locator(".more")
    expect(more).to_be_hidden()
    row(page, "m").get_by_role("button").click()
    expect(more).to_contain_text("4 requests, 3 executions")
    sizes = more.locator("div", has=page.get_by_role("heading", name="Executions by rows")).locator(".bars")
    assert [sizes.locator("span").nth(place).inner_text() for place in range(4)] == ["2", "2", "5–8", "1"]
    expect(more.locator("div", has=page.get_by_role("heading", name="Failures by reason"))).to_contain_text("OTHER")
    row(page, "m").get_by_role("button").click()
    expect(more).to_be_hidden()


def test_gpus_are_shown_with_how_busy_and_how_full_they_are(repository, serve, show, tmp_path):
    nvml = Counterfeit(tmp_path / "counterfeits")
    daemon = serve(repository, environment=nvml.environment)
    daemon.wait_until(lambda: len(numbers(daemon)["server"]["gpus"]) == 2, 30, "tell of its GPUs")
    page = show(daemon)
    tiles = page.locator("#tiles div").filter(has_text="GPU")
    expect(tiles.locator("dt")).to_have_text(["GPU 0 Counterfeit H1", "GPU 1"])
    expect(tiles.locator("dd")).to_have_text(["37 %, 18.6 GiB of 74.5 GiB", "1000 B of 22.4 GiB"])
    assert page.faults == []


def test_nobody_but_the_daemon_is_asked_for_anything(repository, serve, show):
    add(repository, "m")
    daemon = serve(repository)
    page = show(daemon)
    expect(page.locator("tbody")).to_have_count(1)
    page.wait_for_event("requestfinished", lambda asked: asked.url.endswith("/status"))
    assert {asked for asked in page.asked if not asked.startswith("data:")} == {url(daemon), url(daemon, "/status")}
    with urllib.request.urlopen(url(daemon), timeout=10) as answer:
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        policy = answer.headers["Content-Security-Policy"].split("; ")
        assert "default-src 'none'" in policy and "connect-src 'self'" in policy
        assert not re.search("(src|href)=\"?(http|//)", answer.read().decode())


def test_on_a_phone_nothing_is_cut_off_and_every_number_has_its_name(repository, serve, show):
    add(repository, "a_model_with_a_name_that_is_longer_than_the_screen_of_a_telephone_is_wide")
    repository.add("broken", b"not a model")
    page = show(serve(repository, "--exit-on-error=false", "--strict-readiness=false"), PHONE)
    expect(page.locator("tbody")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    smallest = "Math.min(...[...document.querySelectorAll('td, dd, dt, input')].map(e => parseFloat(getComputedStyle(e).fontSize)))"
    assert page.evaluate(smallest) >= 12
    for label in ("Requests/s", "p99", "Waiting", "Rows/batch"):
        told = page.evaluate(
            "label => [...document.querySelectorAll('td')].filter(td => "
            "getComputedStyle(td, '::before').content === JSON.stringify(label)).length",
            label,
        )
        assert told == 2, label


def test_names_and_reasons_are_text_and_never_markup(repository, serve, show):
    name = "<img src=x onerror=document.title=1>"
    add(repository, name)
    repository.add("<b>broken", b"not a model")
    page = show(serve(repository, "--exit-on-error=false", "--strict-readiness=false"))
    expect(page.locator("tbody .name", has_text=name)).to_have_count(1)
    assert page.locator("tbody img, tbody b").count() == 0
    assert page.title() != "1"


def test_a_daemon_that_does_not_answer_is_told_of_and_one_that_is_back_is_shown(repository, serve, show):
    add(repository, "m")
    daemon = serve(repository)
    page = show(daemon)
    expect(row(page, "m").locator(".state")).to_have_text("READY")
    expect(page.locator("#lost")).to_be_hidden()
    daemon.stop()
    expect(page.locator("#lost")).to_contain_text("No answer from the server since")
    expect(row(page, "m").locator(".state")).to_have_text("READY")
    serve(repository, f"--metrics-port={daemon.metrics_port}", wait=False)
    expect(page.locator("#lost")).to_be_hidden()


def test_of_hundreds_of_models_those_that_are_looked_for_are_shown(repository, serve, show):
    repository.folder.mkdir(parents=True, exist_ok=True)
    for number in range(250):
        (repository.folder / f"m{number:03}").mkdir()
    page = show(serve(repository, "--exit-on-error=false", "--strict-readiness=false"))
    expect(page.locator("tbody")).to_have_count(200)
    expect(page.locator("#count")).to_have_text("200 of 250 shown")
    page.get_by_label("Filter models").fill("M24")
    expect(page.locator("tbody .name")).to_have_text([f"m{number}" for number in range(240, 250)])


def test_the_numbers_of_the_page_are_those_of_the_metrics(repository, serve):
    add(repository, "m")
    daemon = serve(repository)
    server = Server(daemon)
    for rows in (1, 1, 3):
        server.stub.ModelInfer(simple("m", rows))
    server.close()
    found = numbers(daemon)
    (model,) = found["models"]
    work = model["versions"][0]["work"]
    assert (model["name"], model["versions"][0]["state"]) == ("m", "READY")
    assert work["requests"] == 3 == sum(work["latency"]) == sum(work["queue"])
    assert work["rows"] == daemon.metric("nv_inference_count") == 5
    assert work["executions"] == daemon.metric("nv_inference_exec_count")
    assert work["batches"] == {"1": 2, "3": 1}
    assert work["failures"] == {"BACKEND": 0, "CANCELED": 0, "OTHER": 0, "REJECTED": 0}
    assert len(work["latency"]) == len(found["bounds_us"]) + 1
